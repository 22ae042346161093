"""Packages of others, imported without what is not used of them."""
