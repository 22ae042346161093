"""Values and rules: the words that every other room uses. Standard library and pydantic alone."""
