"""Callback for the Trainer of Hugging Face transformers, which records a training for the service."""

from worker.recorder.transformers import TraceCallback

__all__ = ["TraceCallback"]
