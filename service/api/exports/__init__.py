"""Rankings as files."""
