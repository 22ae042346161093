"""Answers about new samples from the model of a completed job."""
