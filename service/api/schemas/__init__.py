"""What the service answers, field by field; the contract of its clients. One file a resource, as the routes."""
