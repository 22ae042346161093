"""HTTP, rules, persistence. Never imports torch or the worker."""
