"""Compile the kernels for GPUs that are not here, and print what each needs: `python -m tests.compiled_kernels`.

A line has the compute capability, the kernel, its constants, how many copies to shared memory bring one number each, and the bytes of its stack a
thread: what does not fit into registers.
"""

import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from worker.influence import fused_kernels
from worker.influence.fused_columns import CHUNK, ROWS, WARPS
from worker.influence.packed_gradients import ERROR_STEP

_COMPILED = ((80, "tf32x3"), (90, "tf32x3"), (90, "tf32"), (120, "tf32x3"))  # compute capabilities and precisions
_TYPES = {
    "terms": "*i32",
    **dict.fromkeys(("first_tiles", "row_keys", "column_keys", "wanted"), "*i64"),
    **dict.fromkeys(("rows", "input_width", "error_width", "term_count", "classes", "chunks", "wanted_count"), "i32"),
}
_ALIGNED = ("input_width", "error_width")


def compiled(kernel: Any, constants: dict[str, Any], capability: int, warps: int) -> Any:
    """The kernel, compiled as Triton does where it is called."""
    types = {name: "constexpr" if name in constants else _TYPES.get(name, "*fp32") for name in kernel.arg_names}
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, name in enumerate(kernel.arg_names)
        if name in _ALIGNED or types[name].startswith("*")
    }
    source = ASTSource(kernel, types, constexprs=constants, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})


def stack_bytes(binary: bytes) -> int:
    """Bytes of the stack of a thread."""
    program = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(binary)
        file.flush()
        told = subprocess.run([program, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
    (found,) = re.findall(r"STACK:(\d+)", told)
    return int(found)


def variants(precision: str) -> Iterator[tuple[Any, dict[str, Any], int]]:
    """Kernels with their constants, and numbers of warps."""
    common: dict[str, Any] = {"ROWS": ROWS, "ERROR_STEP": ERROR_STEP, "PRECISION": precision}
    for columns, is_whole, step in ((64, True, 32), (64, False, 32), (32, True, 16), (16, True, 16)):
        constants = {"HAS_KEYS": is_whole, "HAS_EXTREMES": is_whole, "COLUMNS": columns, "CHUNK": min(columns, CHUNK)}
        yield fused_kernels.class_sums_kernel, {**common, **constants, "STEP": step}, WARPS
    # Triton compiles an argument of 1 as a constant: one term, where inputs never change.
    yield fused_kernels.class_sums_kernel, {**common, **constants, "STEP": step, "term_count": 1, "rows": 1}, WARPS
    yield fused_kernels.chunk_influence_kernel, {"HAS_KEYS": True, "CHUNK": CHUNK, "STEP": ERROR_STEP}, 1


if __name__ == "__main__":
    for capability, precision in _COMPILED:
        for kernel, constants, warps in variants(precision):
            found = compiled(kernel, constants, capability, warps)
            told = "/".join(str(value) for value in constants.values())
            narrow = len(re.findall(r"cp\.async[^\n]*\], 0x4", found.asm["ptx"]))
            print(capability, kernel.fn.__name__, told, narrow, stack_bytes(found.asm["cubin"]))  # noqa: T201 - what it is for
