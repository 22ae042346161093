"""Writes a ranking back into a project."""
