"""The command line. It speaks with the API over HTTP."""
