"""Computation: claims jobs, trains, measures influence, ranks. Never imports the HTTP side."""
