"""Ways to calibrate a job's own probabilities, on the half of the sets that rules are chosen on, and the constants of worker.signals.calibration.

    python -m benchmarks.calibration [--cache FOLDER] [--sets NAME ...]

Jobs are those of benchmarks.truth, in its cache, and for tables also parts of the sets: other draws of 1,000, 2,000 and 4,000
rows with 5, 10 and 20 % of the labels made wrong. Of two classes three kinds of errors are the same, and count once. The
flagged samples of a job that tells a number are cases of logistic regressions: of whether the label is wrong, on the job's log
odds of it and on facts that the job knows of itself; of whether the suggestion for a wrong label is right, on its log odds.
Each is judged on sets that it was not fitted to. Writes results/calibration.md.
"""

import argparse
import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from benchmarks.data import TABLES
from benchmarks.truth import MANY, RESULTS, ROWS, TUNED, calibration_error, decided
from benchmarks.truth_runs import KINDS, NONE, RATE, KnownRun, known_runs
from service.domain.errors import Invalid
from worker.signals.calibration import Calibration, calibration_of, contradicted_share, log_odds, offset_without_trees
from worker.signals.suggestions import suggest

# Seed, rows, and shares of wrong labels of each part.
_PARTS = ((2, 2_000, (0.05, 0.2)), (3, 2_000, (RATE,)), (4, 1_000, (RATE,)), (5, 4_000, (RATE,)))
_SAME = ("mislabeled_pair", "mislabeled_confusion")  # as uniform errors, of two classes
_FACTS = {
    "fitted": [0],
    "fitted, with the log share of contradicted labels": [0, 1],
    "fitted, with the direction of the errors": [0, 2],
    "fitted, with both": [0, 1, 2],
}

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Flagged:
    """The flagged samples of a job. `known` [k, 3]: log odds that the label is wrong, and the facts.

    `by_constants`: probability that the label is wrong by the constants of worker.signals.calibration, `trees` or not. `suits`: probability, by the job, that the suggestion for a wrong label is right; `right`: whether it is.
    """

    name: str
    trees: bool
    known: Array
    by_constants: Array
    wrong: NDArray[np.bool_]
    suits: Array
    right: NDArray[np.bool_]


Rule = Callable[[Flagged], Array]


def flagged_of(run: KnownRun) -> Flagged | None:
    """None where the job tells no number, or flags so few that no calibration is told."""
    verdicts, m = decided(run), run.measurements
    flags, estimate = verdicts.mislabeled, verdicts.mislabeled_estimate
    if calibration_of(m, estimate, recalibrated=False) is None or int(flags.sum()) < MANY:
        return None
    scores = run.signals["mislabeled"]
    label, sure, wrong = suggest(m.dynamics.early, m.votes.mean, run.labels, flags, scores, estimate.count)
    own = wrong[flags].double().numpy()
    facts = np.broadcast_to([log(contradicted_share(m)), m.confusion.directed], (len(own), 2))
    return Flagged(
        run.name,
        m.by_trees is not None,
        np.column_stack([log_odds(own), facts]),
        Calibration(offset_without_trees(m)).wrong(own, np.ones(len(own), bool)),
        run.wrong[flags].numpy(),
        (sure / wrong)[flags].double().numpy(),
        (label == run.right)[flags].numpy(),
    )


def all_runs(names: Sequence[str], cache: Path) -> Iterator[KnownRun]:
    """The runs of benchmarks.truth on these sets, and those on parts of tables."""
    for name in names:
        for seed in (0, 1):
            yield from _some(name, seed, ROWS, (RATE,), cache)
        for seed, rows, rates in _PARTS if name in TABLES else ():
            yield from _some(name, seed, rows, rates, cache, others=False)


def _some(
    name: str, seed: int, rows: int, rates: Sequence[float], cache: Path, *, others: bool = True
) -> Iterator[KnownRun]:
    classes = 0
    for kind, rate in [(NONE, rates[0]), *((kind, rate) for rate in rates for kind in KINDS)]:
        if classes == 2 and kind in _SAME:
            continue
        with contextlib.suppress(Invalid):  # half of the classes have no room for so many errors
            for run in known_runs([name], [kind], rows, [seed], 0, cache, rate=rate, others=others):
                classes = run.logits.shape[2]
                yield run


def fitted(columns: Array, true: NDArray[np.bool_]) -> Array:
    """Intercept and weights of the log odds."""
    model = LogisticRegression().fit(columns, true)
    return np.concatenate([model.intercept_, model.coef_[0]])


def rules_for_labels(jobs: Sequence[Flagged]) -> dict[str, Rule]:
    """Probabilities that the flagged labels are wrong, by name of the rule; each fit is one to the other sets."""
    found: dict[str, Rule] = {
        "the job's own": lambda job: expit(job.known[:, 0]),
        "the constants of jobs without trees, fitted to some of these sets": lambda job: job.by_constants,
    }
    for title, facts in _FACTS.items():
        weights = {
            name: fitted(
                np.concatenate([job.known[:, facts] for job in jobs if job.name != name]),
                np.concatenate([job.wrong for job in jobs if job.name != name]),
            )
            for name in {job.name for job in jobs}
        }

        def by_fit(job: Flagged, facts: list[int] = facts, weights: dict[str, Array] = weights) -> Array:
            own = weights[job.name]
            return np.asarray(expit(own[0] + job.known[:, facts] @ own[1:]))

        found[title] = by_fit
    return found


def _shown(job: Flagged) -> Array:
    """The probabilities that labels are wrong which a job shows today."""
    return np.asarray(expit(job.known[:, 0])) if job.trees else job.by_constants


def suits_weights(jobs: Sequence[Flagged]) -> Array:
    """Intercept and weight of the log odds that the suggestion for a wrong label is right."""
    cases = [(log_odds(job.suits[job.wrong]), job.right[job.wrong]) for job in jobs]
    odds, right = (np.concatenate(column) for column in zip(*cases, strict=True))
    return fitted(odds[:, None], right)


def table(title: str, jobs: Sequence[Flagged], rules: dict[str, Rule], true: Callable[[Flagged], Array]) -> list[str]:
    """The expected calibration error over all jobs together, of one set and of one job on average."""
    lines = [f"| {title} | all jobs together | one set | one job |", "|---" * 4 + "|"]
    for name, rule in rules.items():
        sets = [[job for job in jobs if job.name == one] for one in dict.fromkeys(job.name for job in jobs)]
        errors = (
            _error(jobs, rule, true),
            *(mean(_error(one, rule, true) for one in some) for some in (sets, [[job] for job in jobs])),
        )
        lines.append(f"| {name} | " + " | ".join(f"{error:.3f}" for error in errors) + " |")
    return [*lines, ""]


def _error(jobs: Sequence[Flagged], rule: Rule, true: Callable[[Flagged], Array]) -> float:
    return calibration_error(np.concatenate([rule(job) for job in jobs]), np.concatenate([true(job) for job in jobs]))


def main() -> None:
    """Fit, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "truth")
    parser.add_argument("--sets", nargs="+", choices=TUNED, default=TUNED)
    arguments = parser.parse_args()
    jobs = [job for run in all_runs(arguments.sets, arguments.cache) if (job := flagged_of(run)) is not None]
    weights = suits_weights(jobs)
    without = {name: suits_weights([job for job in jobs if job.name != name]) for name in {job.name for job in jobs}}
    suggestions: dict[str, Rule] = {
        "the job's own": lambda job: _shown(job) * job.suits,
        "by the constants as they are": lambda job: _shown(job) * Calibration(None).suits(job.suits),
        "fitted": lambda job: _shown(job) * expit(without[job.name][0] + without[job.name][1] * log_odds(job.suits)),
    }
    lines = [
        f"# Calibration: {', '.join(arguments.sets)}",
        "",
        f"{len(jobs)} jobs that tell a number, {sum(len(job.wrong) for job in jobs)} flagged samples. Expected calibration error; fits are to the other sets.",
        "",
    ]
    for trees, kind in ((True, "trees beside the network"), (False, "no trees")):
        some = [job for job in jobs if job.trees == trees]
        if len({job.name for job in some}) > 1:
            lines += table(f"label is wrong: {kind}", some, rules_for_labels(some), lambda job: job.wrong.astype(float))
            both = fitted(np.concatenate([job.known for job in some]), np.concatenate([job.wrong for job in some]))
            lines += [
                f"Fitted to all of these: {', '.join(f'{value:.2f}' for value in both)} (offset, weights of the log odds and of both facts).",
                "",
            ]
    lines += table("suggestion is right", jobs, suggestions, lambda job: (job.wrong & job.right).astype(float))
    lines.append(
        f"A suggestion suits a wrong label, fitted to all: log odds {weights[0]:.2f} + {weights[1]:.2f} of its own."
    )
    (RESULTS / "calibration.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
