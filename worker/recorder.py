"""The recorder under its former name, for scripts written before it moved to `usual_suspects`."""

from usual_suspects.recorder import TraceRecorder

__all__ = ["TraceRecorder"]
