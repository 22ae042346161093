"""The machine that a worker computes on: its cores and its devices."""
