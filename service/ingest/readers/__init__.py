"""One reader a format: a file on disk to a `Source` of batches."""
