"""Checks of the arguments of public functions and classes: their names and their types."""
