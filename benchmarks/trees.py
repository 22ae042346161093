"""A network for tables alone, boosted trees alone, and the network with trees beside it (`auto`), on the same planted errors.

    python -m benchmarks.trees [--rows 2000] [--seed 0] [--sets NAME ...] [--output benchmarks/results/trees.md]

Average precision of `mislabeled` for planted wrong labels and of `anomalous` for planted anomalies, with and without verified samples,
seconds of the whole job, and whether the interval of the estimate holds the number of planted errors.
"""

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import TABLES, load
from benchmarks.runs import run
from service.domain.auto import network_for_tables
from service.domain.errors import Invalid
from service.domain.specs import Glitch, JobOptions, ModelRequest, Reference, TrainingRequest
from worker.signals.summaries import detection
from worker.training.loop import Diverged

_WRONG = ("mislabeled_uniform", "mislabeled_pair", "mislabeled_confusion", "mislabeled_one_way", "mislabeled_human")
_STRANGE = (
    "anomalous_far_clustered",
    "anomalous_far_scattered",
    "anomalous_near_clustered",
    "anomalous_shuffled",
    "anomalous_extreme",
)
_RATE, _VERIFIED = 0.1, 300
_WHO = ("network", "trees", "both")


@dataclass(frozen=True)
class Outcome:
    """Average precision of the answer that suits the kind, seconds, and whether the interval holds the number planted (None: not told)."""

    found: float
    seconds: float
    covered: bool | None
    calibration: float | None


Cell = tuple[str, str, list[Outcome]]


def models(rows: int) -> list[ModelRequest]:
    """The network alone, trees alone, both."""
    both = network_for_tables(rows, 2)
    alone = both.model_copy(update={"params": {**both.params, "trees": False}})
    return [alone, ModelRequest(name="boosted_trees"), both]


def outcome(name: str, rows: int, seed: int, kind: str, model: ModelRequest, verified: int) -> Outcome:
    """One job."""
    info, dataset = load(name, rows + verified, seed)
    known = [dataset.ids[row] for row in np.random.default_rng(seed).permutation(len(dataset.ids))[:verified]]
    glitches = None if kind == "none" else [Glitch.model_validate({"kind": kind, "rate": _RATE, "seed": seed})]
    options = JobOptions(
        model=model,
        glitches=glitches,
        training=TrainingRequest(find_learning_rate=True if model.name != "boosted_trees" else None),
        reference=Reference(samples=known) if known else None,
    )
    begun = time.perf_counter()
    done = run(info, dataset, options)
    seconds = time.perf_counter() - begun
    table = done.outcome.table
    planted = done.prepared.planted.touched.numpy()
    answer = "anomalous" if kind in _STRANGE else "mislabeled"
    estimate = done.outcome.result["estimates"][answer]
    covered = None
    if estimate["status"] != "unknown":
        covered = bool(estimate["low"] <= planted.sum() <= estimate["high"])
    found = detection(table[answer].to_numpy(), planted)["average_precision"] if planted.any() else float("nan")
    return Outcome(found, seconds, covered, _calibration(table, planted) if answer == "mislabeled" else None)


def _calibration(table: Any, planted: NDArray[np.bool_]) -> float | None:
    """Mean confidence of what is flagged less the share that is planted; None where nothing is."""
    flagged = np.array([verdict == "mislabeled" for verdict in table["verdict"].to_pylist()])
    if not flagged.any():
        return None
    return float(table["suggested_confidence"].to_numpy()[flagged].mean() - planted[flagged].mean())


def _cells(given: argparse.Namespace, kinds: tuple[str, ...], verified: int) -> list[Cell]:
    cells: list[Cell] = []
    sets, rows = given.sets, given.rows
    for name in sets:
        for kind in kinds:
            try:
                outcomes = [outcome(name, rows, given.seed, kind, model, verified) for model in models(rows)]
            except (Invalid, Diverged) as error:
                print(f"{name} {kind}: {error}", file=sys.stderr)
                continue
            cells.append((name, kind, outcomes))
            print(_row(*cells[-1]), file=sys.stderr, flush=True)
    return cells


def _row(name: str, kind: str, outcomes: list[Outcome]) -> str:
    def told(value: float | bool | None) -> str:
        return "-" if value is None else ("yes" if value else "no") if isinstance(value, bool) else f"{value:.3f}"

    columns = [
        *(told(one.found) for one in outcomes),
        *(told(one.covered) for one in outcomes),
        *(told(one.calibration) for one in outcomes),
        *(f"{one.seconds:.1f}" for one in outcomes),
    ]
    return f"| {name} | {kind} | {' | '.join(columns)} |"


def _table(title: str, cells: list[Cell]) -> list[str]:
    """A row a job, and their mean: of the confidence without its sign, of intervals how many of those that are told hold."""
    columns: list[tuple[Outcome, ...]] = list(zip(*(outcomes for *_, outcomes in cells), strict=True))
    found = [f"{np.nanmean([one.found for one in column]):.3f}" for column in columns]
    told = [[one.covered for one in column if one.covered is not None] for column in columns]
    calibration = [
        np.mean([abs(one.calibration) for one in column if one.calibration is not None] or [np.nan])
        for column in columns
    ]
    seconds = [f"{np.mean([one.seconds for one in column]):.1f}" for column in columns]
    means = [*found, *(f"{sum(one)} of {len(one)}" for one in told), *(f"{one:.3f}" for one in calibration), *seconds]
    heads = [f"{what}, {who}" for what in ("AP", "interval holds", "confidence too high by", "s") for who in _WHO]
    return [
        f"## {title}",
        "",
        f"| set | kind | {' | '.join(heads)} |",
        "|---" * (len(heads) + 2) + "|",
        *(_row(*cell) for cell in cells),
        f"| mean | | {' | '.join(means)} |",
        "",
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sets", nargs="+", default=list(TABLES))
    parser.add_argument("--parts", nargs="+", default=["wrong", "strange", "verified"])
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    lines = [f"# The network, trees, and both, {given.rows} rows, {_RATE:.0%} planted, seed {given.seed}", ""]
    if "wrong" in given.parts:
        lines += _table("Wrong labels, no reference", _cells(given, ("none", *_WRONG), 0))
    if "strange" in given.parts:
        lines += _table("Anomalies, no reference", _cells(given, _STRANGE, 0))
    if "verified" in given.parts:
        lines += _table(f"Anomalies, {_VERIFIED} verified", _cells(given, _STRANGE, _VERIFIED))
    print("\n".join(lines))
    if given.output is not None:
        given.output.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
