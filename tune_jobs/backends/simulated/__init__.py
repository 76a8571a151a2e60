"""Job runs in virtual time."""
