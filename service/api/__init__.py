"""HTTP API: one route module for each resource."""
