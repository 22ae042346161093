"""The report of a job: facts from the database, figures of them, one page of HTML or Markdown that needs no other file."""
