"""The client for plain code. All but `waiting` is written by `python -m docs.scripts.synchronous_client` from the asynchronous one."""
