"""HTTP for all routes: bodies, authentication, errors, pagination, content negotiation, OpenAPI."""
