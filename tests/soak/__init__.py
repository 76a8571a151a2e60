"""Minutes of real time with credentials that expire in seconds."""
