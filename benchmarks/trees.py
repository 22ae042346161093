"""Boosted trees against the network that `auto` trained on tables before, on the same planted errors, one after the other.

    python -m benchmarks.trees [--rows 2000] [--sets NAME ...] [--output benchmarks/results/trees.md]

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


@dataclass(frozen=True)
class Outcome:
    """Average precision of the answer that suits the kind, seconds, and whether the interval holds the number planted (None: not told)."""

    found: float
    seconds: float
    covered: bool | None
    calibration: float | None


def outcome(name: str, rows: int, kind: str, model: ModelRequest, verified: int) -> Outcome:
    """One job."""
    info, dataset = load(name, rows + verified, 0)
    known = [dataset.ids[row] for row in np.random.default_rng(0).permutation(len(dataset.ids))[:verified]]
    glitches = None if kind == "none" else [Glitch.model_validate({"kind": kind, "rate": _RATE, "seed": 0})]
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


def _cells(
    sets: list[str], kinds: tuple[str, ...], rows: int, verified: int
) -> list[tuple[str, str, Outcome, Outcome]]:
    cells = []
    for name in sets:
        for kind in kinds:
            try:
                network, trees = (
                    outcome(name, rows, kind, model, verified)
                    for model in (network_for_tables(rows), ModelRequest(name="boosted_trees"))
                )
            except (Invalid, Diverged) as error:
                print(f"{name} {kind}: {error}", file=sys.stderr)
                continue
            cells.append((name, kind, network, trees))
            print(_row(*cells[-1]), file=sys.stderr, flush=True)
    return cells


def _row(name: str, kind: str, network: Outcome, trees: Outcome) -> str:
    def told(value: float | bool | None) -> str:
        return "-" if value is None else ("yes" if value else "no") if isinstance(value, bool) else f"{value:.3f}"

    pairs = (
        (network.found, trees.found),
        (network.covered, trees.covered),
        (network.calibration, trees.calibration),
    )
    seconds = f"{network.seconds:.1f} | {trees.seconds:.1f}"
    return f"| {name} | {kind} | " + " | ".join(f"{told(a)} | {told(b)}" for a, b in pairs) + f" | {seconds} |"


def _table(title: str, cells: list[tuple[str, str, Outcome, Outcome]]) -> list[str]:
    by_network, by_trees = (
        float(np.nanmean([one.found for one in outcomes])) for outcomes in list(zip(*cells, strict=True))[2:]
    )
    return [
        f"## {title}",
        "",
        "| set | kind | AP network | AP trees | holds, network | holds, trees | confidence too high by, network | trees | s network | s trees |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_row(*cell) for cell in cells),
        f"| mean | | {by_network:.3f} | {by_trees:.3f} | | | | | | |",
        "",
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--sets", nargs="+", default=list(TABLES))
    parser.add_argument("--parts", nargs="+", default=["wrong", "strange", "verified"])
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    lines = [f"# Boosted trees and the network, {given.rows} rows, {_RATE:.0%} planted", ""]
    if "wrong" in given.parts:
        lines += _table("Wrong labels, no reference", _cells(given.sets, ("none", *_WRONG), given.rows, 0))
    if "strange" in given.parts:
        lines += _table("Anomalies, no reference", _cells(given.sets, _STRANGE, given.rows, 0))
    if "verified" in given.parts:
        lines += _table(f"Anomalies, {_VERIFIED} verified", _cells(given.sets, _STRANGE, given.rows, _VERIFIED))
    print("\n".join(lines))
    if given.output is not None:
        given.output.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
