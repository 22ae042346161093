"""The machine learning backend that Label Studio calls."""
