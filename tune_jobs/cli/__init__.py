"""The command line program ``tune-jobs``."""
