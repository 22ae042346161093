"""Work that the service does by itself while it runs: each module has one function that does all that is due."""
