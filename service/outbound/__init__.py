"""Requests to other hosts, and the secrets that they need."""
