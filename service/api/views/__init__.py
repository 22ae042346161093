"""From stored rows and files to the schemas that routes answer with; shared by routes, which share nothing else."""
