"""When the number of wrong labels is said to be unknown, and how right it is where it is told. No verified samples.

    python -m benchmarks.unknown [--half reported|tuned] [--rows 3000] [--sets NAME ...]

Errors of several kinds and rates are planted, and none. The rule (worker.signals.doubts) was chosen on the `tuned` half of
the sets. Labels of the sets themselves may be wrong too, so that a count above what was planted is not always an error.
"""

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data import IMAGES
from benchmarks.paper import REPORTED, ROWS, TUNED, Experiment

RESULTS = Path(__file__).parent / "results"
PLANTED = (
    (None, 0.0),
    ("mislabeled_uniform", 0.02),
    ("mislabeled_uniform", 0.1),
    ("mislabeled_uniform", 0.25),
    ("mislabeled_pair", 0.1),
    ("mislabeled_confusion", 0.1),
)


@dataclass(frozen=True)
class Cell:
    """One job: what was planted, and what it says."""

    kind: str
    planted: int
    status: str
    count: int
    low: int
    high: int


def cells(name: str, rows: int) -> list[Cell]:
    """One job for each kind of planted errors, and one for none."""
    experiment = Experiment(name, 0, rows)
    found = []
    for kind, rate in PLANTED:
        done = experiment.run([] if kind is None else [(kind, rate)], 0)
        told = done.outcome.result["estimates"]["mislabeled"]
        planted = int(done.prepared.planted.touched.sum())
        titled = "none" if kind is None else f"{kind.removeprefix('mislabeled_')} {rate:.0%}"
        found.append(Cell(titled, planted, told["status"], told["count"], told["low"], told["high"]))
    return found


def table(found: list[Cell]) -> list[str]:
    """One row for each kind: how many jobs cannot tell, and how right the others are."""
    lines = ["| planted | jobs | unknown | told | interval holds | within a quarter |", "|---" * 6 + "|"]
    for kind in dict.fromkeys(cell.kind for cell in found):
        every = [cell for cell in found if cell.kind == kind]
        told = [cell for cell in every if cell.status != "unknown"]
        holds = sum(cell.low <= cell.planted <= cell.high for cell in told)
        near = sum(abs(cell.count - cell.planted) <= 0.25 * cell.planted for cell in told)
        lines.append(f"| {kind} | {len(every)} | {len(every) - len(told)} | {len(told)} | {holds} | {near} |")
    return lines


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=["reported", "tuned"], default="reported")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--sets", nargs="+", help="only these of the half; all but raw images when left out")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    half = REPORTED if arguments.half == "reported" else TUNED
    names = arguments.sets or [name for name in half if name not in IMAGES]
    found = [cell for name in names for cell in cells(name, arguments.rows)]
    lines = [f"# When the number of wrong labels is unknown: {', '.join(names)}; nothing verified", "", *table(found)]
    (RESULTS / "unknown.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
