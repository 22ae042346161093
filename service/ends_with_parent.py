"""Ends this process when the one that started it ends, where the kernel can do that: on Linux."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Loaded before any fork: between fork and exec a child must call as little as possible.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent(parent: int) -> None:
    """Let the kernel kill this process when its parent, the process `parent`, ends for any reason. Call it right after the fork."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            # The parent ended before prctl was called.
            os.kill(os.getpid(), signal.SIGKILL)
