"""What the OCI backends share: starting runs, listing live ones, reading failures."""
