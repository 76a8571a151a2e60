"""Search spaces, their conditions, and whether one fits its study."""
