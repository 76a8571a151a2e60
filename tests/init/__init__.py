"""`tune-jobs init`."""
