"""How many planted mislabels `auto` finds against the fixed default, on the nine development tables.

    python -m benchmarks.auto [--seeds 2] [--rows N] [DATASET ...]

Average precision of `mislabeled` at 10 % uniform mislabels. `fixed` is the default model and learning rate; `auto` what
a client gets who names none; `no search` is auto with the default learning rate. The search's share is of training time.
"""

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.data import TABLES, load
from benchmarks.runs import Run, fixed, run
from service.domain.dataset import DatasetInfo
from service.domain.specs import Glitch, JobOptions, ModelRequest, TrainingRequest
from worker.data.canonical import Canonical

RESULTS = Path(__file__).parent / "results"
RATE = 0.1
HEADER = (
    "dataset",
    "rows",
    "fixed",
    "auto",
    "no search",
    "rate found",
    "search",
    "auto wins",
    "counted: fixed",
    "auto",
)


@dataclass(frozen=True)
class Cell:
    """One planting and training seed of one table; counts are the estimated number of mislabels over the planted."""

    fixed: float
    auto: float
    unsearched: float
    rate: float
    share: float
    fixed_count: float
    auto_count: float
    rows: int


def compare(info: DatasetInfo, dataset: Canonical, seed: int) -> Cell:
    """The three of them on the same planted labels."""

    def done(model: ModelRequest, *, search: bool | None = None) -> Run:
        options = JobOptions(
            model=model,
            training=TrainingRequest(seed=seed, find_learning_rate=search),
            glitches=[Glitch(kind="mislabeled_uniform", rate=RATE, seed=seed)],
        )
        return run(info, dataset, options)

    plain, auto = done(fixed(info)), done(ModelRequest())
    unsearched = done(ModelRequest(), search=False)
    return Cell(
        fixed=_precision(plain),
        auto=_precision(auto),
        unsearched=_precision(unsearched),
        rate=auto.spec.training.learning_rate,
        share=auto.search_s / auto.training_s,
        fixed_count=_counted(plain),
        auto_count=_counted(auto),
        rows=len(auto.prepared.rows),
    )


def _precision(done: Run) -> float:
    return float(done.outcome.summaries["mislabeled"]["detection"]["average_precision"])


def _counted(done: Run) -> float:
    return float(done.outcome.result["estimates"]["mislabeled"]["count"]) / int(done.prepared.planted.touched.sum())


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", default=TABLES)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=None, help="as many drawn from each table; all when left out")
    arguments = parser.parse_args()
    title = (
        f"auto against the fixed default: average precision at {RATE:.0%} mislabels, mean of {arguments.seeds} seeds"
    )
    table = Table(*HEADER, title=title)
    lines = ["| " + " | ".join(HEADER) + " |", "|---" * len(HEADER) + "|"]
    wins = 0
    for name in arguments.datasets:
        cells = []
        for seed in range(arguments.seeds):
            info, dataset = load(name, arguments.rows, seed)
            cells.append(compare(info, dataset, seed))
            print(name, seed, cells[-1], flush=True)
        better = _mean(cells, "auto") > _mean(cells, "fixed")
        wins += better
        row = [
            name,
            f"{cells[0].rows:,}",
            *(f"{_mean(cells, column):.4f}" for column in ("fixed", "auto", "unsearched")),
            ", ".join(f"{cell.rate:g}" for cell in cells),
            f"{_mean(cells, 'share'):.1%}",
            "yes" if better else "no",
            *(f"{_mean(cells, column):.2f}" for column in ("fixed_count", "auto_count")),
        ]
        table.add_row(*row)
        lines.append("| " + " | ".join(row) + " |")
    verdict = f"auto is better on {wins} of {len(arguments.datasets)} tables"
    Console(width=150).print(table, verdict)
    RESULTS.mkdir(exist_ok=True)
    result = RESULTS / ("auto.md" if arguments.rows is None else f"auto-{arguments.rows}.md")
    result.write_text("\n".join([f"# {title}", "", *lines, "", verdict, ""]))


def _mean(cells: list[Cell], column: str) -> float:
    values: list[float] = [getattr(cell, column) for cell in cells]
    return statistics.mean(values)


if __name__ == "__main__":
    main()
