"""The metric store, as the tuner reads it: any file system of fsspec, or OCI Object Storage."""
