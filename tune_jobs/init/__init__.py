"""What `tune-jobs init` does: read a script and write a study.yaml for it."""
