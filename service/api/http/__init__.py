"""What every route needs of HTTP: bodies, errors, keys, pages of lists, content negotiation."""
