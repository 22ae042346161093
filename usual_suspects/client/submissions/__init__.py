"""Data of many libraries as files to upload, and corrected files as data of the same library again."""
