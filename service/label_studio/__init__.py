"""Label Studio over its HTTP API: pull, push, reconcile, and its machine learning backend."""
