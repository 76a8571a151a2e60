"""Search spaces, their conditions, and checks that one fits its study."""
