"""Rankings as files: a writer for each format of service.domain.exports."""
