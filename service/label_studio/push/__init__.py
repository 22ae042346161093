"""Writes a ranking into a project."""
