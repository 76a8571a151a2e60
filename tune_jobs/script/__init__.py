"""How the user's script is started: its entry point and its command line."""
