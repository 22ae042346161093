"""How torch computes in a worker process: the same bits each time, and float32 with all of its digits."""

import os
import warnings

import torch


def fix_arithmetic(*, gpu: bool) -> None:
    """Choose deterministic operations, and float32 without TF32; before the first computation of a process."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what CUDA's products need to be the same each time
    # A GPU lacks deterministic forms of some operations: there it is asked for them, and may do without.
    # Not by torch.use_deterministic_algorithms, which imports torch's compiler.
    torch.set_deterministic_debug_mode("warn" if gpu else "error")
    # Deterministic algorithms fill all fresh memory, so that reading it before writing gives the same each time. Nothing
    # here reads it: tests fill it with NaN and find the same bits. On a GPU half of the launches of a step filled memory.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # not in torch's stubs
    with warnings.catch_warnings():
        # Some versions of torch ask for a newer name of these, which the oldest supported one lacks.
        warnings.simplefilter("ignore")
        # Convolutions are computed in TF32 by default, whose mantissa has 10 bits: influence differed from a CPU's.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
