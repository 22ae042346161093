"""Labelling tools' own forms, read and written without any I/O."""
