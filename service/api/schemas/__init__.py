"""Response schemas, one module for each resource."""
