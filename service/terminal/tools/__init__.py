"""The verbs of the service as tools over the Model Context Protocol: `suspects mcp`."""
