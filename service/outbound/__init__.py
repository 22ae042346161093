"""Requests that leave the service, and the secrets that they need."""
