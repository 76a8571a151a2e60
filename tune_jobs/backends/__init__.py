"""Where job runs execute."""
