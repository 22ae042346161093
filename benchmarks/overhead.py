"""What the suspects cost: the whole computation of a job over training alone, in one run.

    python -m benchmarks.overhead [--repeats 5] [DATASET ...]

Training alone is the same job with nothing but preparation and training, and no checkpoints written. Both run in this
process, alternately; the ratio of medians is what counts, machines are shared and noisy.

The line below the table is what measuring the checkpoints adds to the training of adult's MLP: the signals of linear cost
(learning dynamics, self-influence, influence on each class) and, at the first and the last, neighbours.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.data import IMAGES, load
from benchmarks.runs import fixed, run
from service.domain.dataset import DatasetInfo
from service.domain.resolve import resolve
from service.domain.specs import JobOptions
from worker.data.canonical import Canonical
from worker.influence.row_computations import Arrays, OnShare, RowComputation, alone
from worker.job.preparation import fit, prepare
from worker.job.scoring import score
from worker.training.loop import EpochMetrics, TrainingState, checkpoints, learning_rate

RESULTS = Path(__file__).parent / "results"


def training_alone(info: DatasetInfo, dataset: Canonical) -> float:
    """Seconds to prepare and train, nothing kept."""
    spec = resolve(JobOptions(model=fixed(info)), info)
    began = time.perf_counter()
    fit(prepare(spec, dataset, None), spec, None, lambda _state, _metrics: None)
    return time.perf_counter() - began


def measured_training(info: DatasetInfo, dataset: Canonical) -> float:
    """Seconds to prepare, train and measure the checkpoints, without the pairs and the ranking that follow."""
    spec = resolve(JobOptions(model=fixed(info)), info)
    epochs = checkpoints(spec.training)
    began = time.perf_counter()
    prepared = prepare(spec, dataset, None)
    states: list[dict[str, Tensor]] = []

    def keep(state: TrainingState, _metrics: EpochMetrics) -> None:
        if state.epoch in epochs:
            states.append(state.model)

    fit(prepared, spec, None, keep)
    spent: list[float] = []

    def begin(computation: RowComputation, on_share: OnShare) -> Callable[[], Arrays]:
        started = time.perf_counter()
        found = alone(computation, on_share)
        spent.append(time.perf_counter() - started)
        return found

    rates = [learning_rate(spec.training, epoch) for epoch in epochs]
    with tempfile.TemporaryDirectory() as scratch:
        score(prepared, spec, rates, states.__getitem__, Path(scratch), lambda _share: None, begin)
    return time.perf_counter() - began - sum(spent)


def linear_signals(name: str, repeats: int) -> str:
    """What measuring the checkpoints adds to training."""
    info, dataset = load(name)
    alone, measured = [], []
    for _ in range(repeats):
        alone.append(training_alone(info, dataset))
        measured.append(measured_training(info, dataset))
    before, after = statistics.median(alone), statistics.median(measured)
    return (
        f"{name}: training {before:.2f} s, with every scored checkpoint measured {after:.2f} s, {after / before:.2f} x"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", default=["adult", "satimage", "mnist"])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    columns = ("dataset", "training alone s", "whole job s", "of it scoring s", "of it ranking s", "ratio")
    table = Table(*columns, title=f"whole job over training alone, medians of {arguments.repeats}")
    lines = [f"# {table.title}", "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for name in arguments.datasets:
        info, dataset = load(name, 4_000 if name in IMAGES else None)
        alone, whole, scoring, ranking = [], [], [], []
        for _ in range(arguments.repeats):
            alone.append(training_alone(info, dataset))
            began = time.perf_counter()
            done = run(info, dataset, JobOptions(model=fixed(info)))
            whole.append(time.perf_counter() - began)
            scoring.append(done.scoring_s)
            ranking.append(done.ranking_s)
        cells = [f"{statistics.median(values):.2f}" for values in (alone, whole, scoring, ranking)]
        row = [name, *cells, f"{statistics.median(whole) / statistics.median(alone):.2f}"]
        table.add_row(*row)
        lines.append("| " + " | ".join(row) + " |")
    linear = linear_signals("adult", arguments.repeats)
    lines += ["", linear]
    Console(width=120).print(table, linear)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "overhead.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
