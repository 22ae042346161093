"""The client for code that runs in an event loop."""
