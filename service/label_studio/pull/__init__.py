"""Reads the tasks of a project."""
