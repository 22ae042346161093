"""What a job found, told to people: facts from the store, figures of them, one page that needs nothing else."""
