"""Whether time a pair and memory stay flat: a linear probe on 128-d embeddings, every pair with 10,000 reference rows.

    python -m benchmarks.scale [--samples 100000 1000000]

Five checkpoints, ten classes, both cores. From embeddings and checkpoints to all measurements (influence, pairs,
neighbours, groups, dynamics) as a worker takes them; the reference is not trusted, as most are not. Each size runs in a
process of its own, whose peak memory the kernel tells. The bare products are those of all pairs, `A A'` and `D D'` at
every checkpoint, timed on a part and taken in proportion.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from worker.influence.activations import ActivationRecorder
from worker.signals.measurements import measure_checkpoints
from worker.signals.reference import ReferenceSamples

RESULTS = Path(__file__).parent / "results"
REFERENCES, WIDTH, CLASSES, RATES = 10_000, 128, 10, (0.1,) * 5
PART = 20_000


def measure(samples: int) -> dict[str, float]:
    """Seconds, seconds of the bare products, and peak gigabytes of this process."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, WIDTH, generator=generator)

    def draw(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.randint(0, CLASSES, (rows,), generator=generator)
        x = torch.randn(rows, WIDTH, generator=generator)
        for start in range(0, rows, 100_000):
            x[start : start + 100_000] += centres[labels[start : start + 100_000]]
        return x, labels

    (x, labels), (known, known_labels) = draw(samples), draw(REFERENCES)
    head = nn.Linear(WIDTH, CLASSES)
    states = [{name: torch.randn(value.shape) * 0.1 for name, value in head.state_dict().items()} for _ in RATES]
    with tempfile.TemporaryDirectory() as name:
        began = time.perf_counter()
        train = ActivationRecorder(head, head, (x,), RATES, Path(name) / "a")
        reference = ActivationRecorder(head, head, (known,), RATES, Path(name) / "b")

        def read(t: int, inner: bool) -> tuple[torch.Tensor | None, torch.Tensor | None]:
            head.load_state_dict(states[t])
            return train.read_checkpoint(t, inner=inner), reference.read_checkpoint(t, inner=inner)

        serving = ReferenceSamples(reference.trace, known_labels)
        measure_checkpoints(train.trace, labels, serving, CLASSES, 0, read, embeddings=x)
        seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": seconds, "bare": _bare() * samples / PART, "peak": peak}


def _bare() -> float:
    left, right = torch.randn(PART, WIDTH + CLASSES), torch.randn(REFERENCES, WIDTH + CLASSES)
    out = torch.empty(PART // 10, REFERENCES)
    began = time.perf_counter()
    for _ in RATES:
        for rows in torch.split(left, len(out)):
            torch.mm(rows, right.T, out=out)
    return time.perf_counter() - began


def main() -> None:
    """Run each size in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--alone", type=int, help="measure this size here and print JSON")
    arguments = parser.parse_args()
    if arguments.alone:
        print(json.dumps(measure(arguments.alone)))
        return
    columns = ("samples", "seconds", "over the bare products", "ns a pair and checkpoint", "peak GB")
    table = Table(*columns, title=f"linear probe, {WIDTH}-d embeddings, {REFERENCES:,} reference rows, 5 checkpoints")
    lines = [f"# {table.title}", "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for samples in arguments.samples:
        command = [sys.executable, "-m", "benchmarks.scale", "--alone", str(samples)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)  # noqa: S603 - ours
        pairs = samples * REFERENCES * len(RATES)
        row = [
            f"{samples:,}",
            f"{found['seconds']:.0f}",
            f"{found['seconds'] / found['bare']:.2f}",
            f"{found['seconds'] / pairs * 1e9:.2f}",
            f"{found['peak']:.2f}",
        ]
        table.add_row(*row)
        lines.append("| " + " | ".join(row) + " |")
    Console(width=120).print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "scale.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
