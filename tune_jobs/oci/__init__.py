"""How OCI is reached."""
