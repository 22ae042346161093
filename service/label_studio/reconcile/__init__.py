"""Reads what people decided in a project."""
