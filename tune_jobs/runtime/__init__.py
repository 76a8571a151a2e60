"""What travels into a job run: standard library only, Python 3.8 or newer."""
