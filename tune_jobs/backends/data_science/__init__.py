"""Job runs of OCI Data Science: `DataScienceBackend`."""
