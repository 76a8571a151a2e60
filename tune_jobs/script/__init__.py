"""How the user's script is started: entry point and command line."""
