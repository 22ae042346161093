"""Use cases: what a user asks the service to do, without HTTP."""
