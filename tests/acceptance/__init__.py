"""Our tests of OCI, run against a real tenancy: ``python -m tests.acceptance --tenancy FILE``."""
