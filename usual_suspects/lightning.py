"""Callback for the Trainer of Lightning, which records a training for the service."""

from worker.recorder.lightning import TraceCallback

__all__ = ["TraceCallback"]
