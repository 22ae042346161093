"""HTTP: one file a resource, and errors.py as the only table of statuses."""
