"""Persistence: tables of one SQL database, and files beside it. Shared by the service and the worker."""
