"""Canonical datasets to tensors."""
