"""What every pair costs on a GPU: kernels, and torch, against the bare products.

    python -m benchmarks.gpu_influence [--rows 1000000] [--columns 10000] [--repeats 3]

Five checkpoints with the same inputs, as of frozen features, 128 wide, ten classes. The bare products are one of inputs and one of errors of all
checkpoints, in single precision, written to memory and not read again. What counts are the ratios of medians, taken in one run, and how far sums
are from those in double precision. It needs a GPU, and says so where there is none.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from worker.influence.activations import Trace
from worker.influence.fused_check import kernels_work
from worker.influence.fused_pairs import FusedPairRows
from worker.influence.gradient_sources import LastLayerGradients
from worker.influence.pair_inputs import PairInputs
from worker.influence.pair_sums import PairRows
from worker.influence.pairs_counted import PairsCounted
from worker.influence.row_computations import ranges

RESULTS = Path(__file__).parent / "results"
WIDTH, CLASSES, CHECKPOINTS, RATE = 128, 10, 5, 0.1
AT_ONCE, WITNESSES = 8_192, 512


def drawn(rows: int, columns: int) -> PairInputs:
    """Gradients of a last layer on the device that is torch's default."""

    def side(count: int) -> LastLayerGradients:
        activations = torch.randn(1, count, WIDTH).expand(CHECKPOINTS, -1, -1)
        return LastLayerGradients(Trace(activations, torch.randn(CHECKPOINTS, count, CLASSES), (RATE,) * CHECKPOINTS))

    labels, known = torch.randint(CLASSES, (rows,)), torch.randint(CLASSES, (columns,))
    rates = (RATE,) * CHECKPOINTS
    return PairInputs(
        side(rows), labels, side(columns), known, rates, CLASSES, PairsCounted(), by_checkpoint=False, relabelled=False
    )


def bare(rows: int, columns: int) -> None:
    """The products of all pairs, and nothing else."""
    entered, known = torch.randn(AT_ONCE, WIDTH + 1), torch.randn(WIDTH + 1, columns)
    errors, known_errors = torch.randn(AT_ONCE, CHECKPOINTS * CLASSES), torch.randn(CHECKPOINTS * CLASSES, columns)
    out, factor = torch.empty(AT_ONCE, columns), torch.empty(AT_ONCE, columns)
    for part in ranges(slice(0, rows), AT_ONCE):
        count = part.stop - part.start
        torch.mm(entered[:count], known, out=out[:count])
        torch.mm(errors[:count], known_errors, out=factor[:count])


def whole(of_rows: Callable[[slice], Any], rows: int) -> None:
    """All rows, in parts."""
    for part in ranges(slice(0, rows), 8 * AT_ONCE):
        of_rows(part)


def milliseconds(run: Callable[[], None], repeats: int) -> float:
    """The median."""
    run()  # compiles
    taken = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - start)
    return 1_000 * statistics.median(taken)


def error(inputs: PairInputs, of_rows: Callable[[slice], Any]) -> float:
    """How far the sums of a few rows are from those in double precision, as a share of the largest."""
    rows = slice(0, WITNESSES)
    influence = torch.zeros(WITNESSES, len(inputs.reference_labels), dtype=torch.float64)
    every = slice(0, len(inputs.reference_labels))
    for t, rate in enumerate(inputs.rates):
        (own,), (known,) = (
            side.gradients(t, part, labels[part])
            for side, labels, part in (
                (inputs.train, inputs.labels, rows),
                (inputs.reference, inputs.reference_labels, every),
            )
        )
        products = [getattr(own, name).double() @ getattr(known, name).double().T for name in ("inputs", "errors")]
        influence += rate * products[0] * products[1]
    sums = influence.new_zeros(WITNESSES, CLASSES).index_add_(1, inputs.reference_labels, influence.clamp(min=0))
    found = of_rows(rows)["positive.amount"].double()
    return float((found - sums).abs().max() / sums.max())


def main() -> None:
    """Print the table, and write it where the whole size was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU here, so there is nothing to measure")
    device = torch.device("cuda", torch.cuda.current_device())
    if not (kernels_work(device, "exact") and kernels_work(device, "fast")):
        raise SystemExit("the kernels do not work here; the log says why")
    rows, columns, repeats = arguments.rows, arguments.columns, arguments.repeats
    table = Table(
        title=f"{rows:,} by {columns:,} pairs, {CHECKPOINTS} checkpoints, {torch.cuda.get_device_name(device)}"
    )
    for name in ("", "ms", "over bare", "error"):
        table.add_column(name, justify="right")
    with device, torch.no_grad():
        torch.manual_seed(0)
        inputs = drawn(rows, columns)
        least = milliseconds(lambda: bare(rows, columns), repeats)
        table.add_row("bare products", f"{least:.0f}", "1.00", "")
        ways: dict[str, Any] = {
            "torch, exact": PairRows(inputs),
            "kernels, exact": FusedPairRows.of(inputs),
            "kernels, fast": FusedPairRows.of(replace(inputs, precision="fast")),
        }
        for name, of_rows in ways.items():
            taken = milliseconds(lambda of_rows=of_rows: whole(of_rows, rows), repeats)  # type: ignore[misc] # a loop's value
            table.add_row(name, f"{taken:.0f}", f"{taken / least:.2f}", f"{error(inputs, of_rows):.1e}")
    Console().print(table)
    if (rows, columns) == (1_000_000, 10_000):
        with (RESULTS / "gpu_influence.md").open("w") as file:
            Console(file=file, width=100).print(table)


if __name__ == "__main__":
    main()
