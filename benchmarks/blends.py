"""The rule of `mislabeled` beside others, against AUM, on the half of the sets that rules are chosen on.

    python -m benchmarks.blends [--rows 2000] [--seeds 2] [--cache FOLDER] [--sets NAME ...]

Nothing is trained where the cache of benchmarks.truth_runs has the runs. Average precision: the mean over runs, the worst
difference to `aum`, and in how many runs a rule is more than .002 below it. Writes results/blends.md.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import mean
from unittest import mock

import torch
from torch import Tensor

from benchmarks.truth import RESULTS, ROWS, TIE, TUNED
from benchmarks.truth_runs import KINDS, LOGISTIC, KnownRun, by_todays_rule, known_runs
from worker.signals import confusions
from worker.signals.ranks import rank

_OTHERS = {
    "_EXCESS": (0.0, 4.0, 16.0),
    "_SURE": (1.0, 3.0),
    "_CLEAR": (0.1, 0.4),
    "_SUREST": (5, 10),
    "_LARGEST": (0.0, 0.25),
    "_STEEP": (1.0, 4.0),
    "_MEMORISED": (0.0, 0.6),
}


def rules(run: KnownRun) -> dict[str, Tensor]:
    """Scores by name: today's rule, its parts, the former blend, and today's rule with one constant changed."""
    signals = run.signals
    found = {name: signals[name] for name in ("mislabeled", "aum", "confusion_margin", "loss", "el2n", "knn_vote")}
    former = ["aum_early", "loss", "knn_vote", *(["frozen_vote"] if "frozen_vote" in signals else [])]
    found["mean of ranks of " + ", ".join(former[:3]) + " (frozen_vote)"] = torch.stack(
        [rank(signals[name]).double() for name in former]
    ).mean(0)
    found["mean of ranks of aum, confusion_margin"] = rank(signals["aum"]) + rank(signals["confusion_margin"])
    for name, values in _OTHERS.items():
        for value in values:
            with mock.patch.object(confusions, name, value):
                changed = by_todays_rule(run).measurements.confusion.scores
            found[f"confusion_margin, {name} {value:g} for {getattr(confusions, name):g}"] = changed
    found[LOGISTIC] = run.self_confidence(LOGISTIC)
    return found


def table(runs: list[KnownRun]) -> list[str]:
    """One row a rule."""
    found = [{name: run.found(scores)["average_precision"] for name, scores in rules(run).items()} for run in runs]
    lines = ["| rule | mean | worst against `aum` | runs below `aum` |", "|---" * 4 + "|"]
    for name in found[0]:
        gaps = [one[name] - one["aum"] for one in found]
        worst = runs[gaps.index(min(gaps))]
        below = sum(gap < -TIE for gap in gaps)
        lines.append(
            f"| {name} | {mean(one[name] for one in found):.3f} | {min(gaps):+.3f} ({worst.name}, {worst.kind}) "
            f"| {below} of {len(gaps)} |"
        )
    return lines


def main() -> None:
    """Compare and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "truth")
    parser.add_argument("--sets", nargs="+", choices=TUNED, default=TUNED)
    arguments = parser.parse_args()
    runs = list(known_runs(arguments.sets, KINDS, arguments.rows, range(arguments.seeds), 0, arguments.cache))
    title = (
        f"# Rules for wrong labels, average precision: {', '.join(arguments.sets)}; {arguments.rows} rows, no reference"
    )
    lines = [title, "", *table(runs)]
    (RESULTS / "blends.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
