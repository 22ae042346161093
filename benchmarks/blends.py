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
    found["held_out_guess"] = signals["held_out_guess"]
    found["class Gaussians"] = class_gaussians(run)
    for name in ("class Gaussians", "knn_vote"):
        found[f"mislabeled and half of {name}"] = rank(signals["mislabeled"]) + rank(found[name]) / 2
    return found


def class_gaussians(run: KnownRun) -> Tensor:
    """How much likelier another class makes the features of the first checkpoint: a Gaussian for each, all of one shape."""
    x, labels = run.measurements.position.features.double(), run.labels
    x = (x - x.mean(0)) / x.std(0).clamp(min=1e-6)
    sizes = labels.bincount(minlength=run.logits.shape[2]).double().clamp(min=1)
    means = torch.zeros(len(sizes), x.shape[1], dtype=torch.float64).index_add_(0, labels, x) / sizes[:, None]
    apart = x - means[labels]
    shape = apart.T @ apart / len(x) + 0.05 * torch.eye(x.shape[1], dtype=torch.float64)
    lower = torch.linalg.cholesky(shape)
    places, centres = (torch.linalg.solve_triangular(lower, rows.T, upper=False).T for rows in (x, means))
    far = torch.cdist(places, centres).square()
    # The sample itself has drawn the mean of its label nearer.
    own = far.gather(1, labels[:, None]).squeeze(1) * (sizes / (sizes - 1).clamp(min=1)).square()[labels]
    found: Tensor = own - far.scatter(1, labels[:, None], torch.inf).amin(1)
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
