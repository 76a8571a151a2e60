"""study.yaml: read, checked, and turned into a tuner."""
