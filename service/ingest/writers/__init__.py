"""Datasets written in forms of our own, from their canonical files."""
