"""Panels, tables and background runs for notebooks and terminals."""
