"""Reads the tasks of a project into a dataset."""
