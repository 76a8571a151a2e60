"""What things are, and what to decide about them: plain data and functions without I/O or clock."""
