"""``tune-jobs doctor``: what works in a tenancy, and which assumptions about OCI hold there."""
