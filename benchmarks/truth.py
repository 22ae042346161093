"""How true the answers of a job are: wrong labels found, counted, and the confidence that is shown, beside other methods.

    python -m benchmarks.truth [--half reported|tuned] [--rows 2000] [--seeds 2] [--cache FOLDER] [--sets NAME ...] [--part alone|verified]

Runs are those of benchmarks.truth_runs; what is in the cache is not run again. Rules were chosen on the `tuned` half of the
sets (benchmarks.blends). Errors of people are `natural` (weak labels of Yoruba headlines) and imitated by `human`: samples
that look like another class. cleanlab's score is the probability of the label by a model of the other four folds. Writes
results/truth-HALF.md, section by section; `--part` only those of runs without or with verified samples.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.data import EMBEDDINGS, IMAGES, TEXTS
from benchmarks.result_sections import write_sections
from benchmarks.truth_runs import KINDS, LOGISTIC, NONE, TREES, KnownRun, known_runs
from service.domain.signal import HEADLINES
from worker.signals.calibration import calibration_of
from worker.signals.confident import label_issue_count
from worker.signals.suggestions import suggest
from worker.signals.verdicts import Verdicts, decide

RESULTS = Path(__file__).parent / "results"
TUNED = ("adult", "covtype10k", "satimage", "spambase", "mnist", "trec", "trec_minilm", "mnist_lite0")
REPORTED = (
    *("bank", "letter", "magic", "phoneme", "wine_quality"),
    *("fmnist", "fmnist_lite0", "cifar_lite0", "yoruba", "yoruba_minilm"),
)
ROWS, VERIFIED = 2_000, 600
TIE = 0.002
MANY = 20  # flagged samples from which on a calibration is told
_BINS = 10

Found = dict[str, float]
_Flagged = tuple[NDArray[np.float64], ...]  # that labels are wrong: shown, is; that suggestions are right: shown, is


def found_table(runs: Sequence[KnownRun]) -> list[str]:
    """Average precision / F1 at the true count by set and kind of errors, means over seeds."""
    columns = ["`mislabeled`", "`aum`", "best other signal", f"cleanlab, {LOGISTIC}", f"cleanlab, {TREES}"]
    lines = ["| set | errors | " + " | ".join(columns) + " |", "|---" * (2 + len(columns)) + "|"]
    cells: dict[tuple[str, str], list[list[Found | None]]] = defaultdict(list)
    for run in runs:
        if run.kind != NONE:
            cells[run.name, run.kind].append(_scores(run))
    for (name, kind), several in cells.items():
        lines.append(
            f"| {name} | {kind} | " + " | ".join(_cell(column) for column in zip(*several, strict=True)) + " |"
        )
    every = [one for several in cells.values() for one in several]
    lines.append("| mean | all | " + " | ".join(_cell(column) for column in zip(*every, strict=True)) + " |")
    for kind in dict.fromkeys(kind for _, kind in cells):
        of_kind = [one for (_, other), several in cells.items() if other == kind for one in several]
        lines.append(f"| mean | {kind} | " + " | ".join(_cell(column) for column in zip(*of_kind, strict=True)) + " |")
    gaps = [_precision(one[0]) - _precision(one[1]) for one in every]
    return [
        *lines,
        "",
        (
            f"`mislabeled` against `aum`, average precision: {mean(gaps):+.3f} on average, {min(gaps):+.3f} at worst; "
            f"more than {TIE} below in {sum(gap < -TIE for gap in gaps)} of {len(gaps)} runs."
        ),
        "The best other signal is the one with the highest average precision in each run, known only in hindsight.",
    ]


def _scores(run: KnownRun) -> list[Found | None]:
    by_name = {name: run.found(scores) for name, scores in run.signals.items()}
    others = [found for name, found in by_name.items() if name not in (*HEADLINES, "aum", "confusion_margin")]
    return [
        by_name["mislabeled"],
        by_name["aum"],
        max(others, key=_precision),
        *(run.found(run.self_confidence(name)) if name in run.others else None for name in (LOGISTIC, TREES)),
    ]


def _precision(found: Found | None) -> float:
    return -1.0 if found is None else found["average_precision"]


def _cell(several: Iterable[Found | None]) -> str:
    known = [found for found in several if found is not None]
    if not known:
        return ""
    return " / ".join(f"{mean(found[key] for found in known):.3f}" for key in ("average_precision", "f1"))


def count_table(runs: Sequence[KnownRun]) -> list[str]:
    """Numbers of wrong labels by kind of errors: told or not, and whether the interval holds the truth."""
    lines = [
        (
            "| errors | verified | jobs | unknown | told | interval holds | within a quarter | flagged where unknown, of them wrong "
            f"| cleanlab's count, {LOGISTIC}: mean, of so many |"
        ),
        "|---" * 9 + "|",
    ]
    groups: dict[tuple[str, int], list[KnownRun]] = defaultdict(list)
    for run in runs:
        groups[run.kind, run.verified].append(run)
    for (kind, verified), several in groups.items():
        told = holds = near = flagged = right = 0
        for run in several:
            verdicts, wrong = decided(run), int(run.wrong.sum())
            estimate = verdicts.mislabeled_estimate
            if estimate.doubt is not None:
                flagged += int(verdicts.mislabeled.sum())
                right += int((verdicts.mislabeled & run.wrong).sum())
                continue
            told += 1
            holds += estimate.low <= wrong <= estimate.high
            near += abs(estimate.count - wrong) <= max(0.25 * wrong, 0.01 * len(run.labels))
        counted = mean(label_issue_count(run.others[LOGISTIC], run.labels) for run in several)
        truth = mean(int(run.wrong.sum()) for run in several)
        lines.append(
            f"| {kind} | {verified} | {len(several)} | {len(several) - told} | {told} | {holds} | {near} "
            f"| {flagged}, {right} | {counted:.0f}, {truth:.0f} |"
        )
    return [*lines, "", "Within a quarter of the truth, or within 1 % of the samples."]


def decided(run: KnownRun) -> Verdicts:
    """Count and flags, as a job makes them."""
    generator = torch.Generator().manual_seed(run.seed)
    return decide(run.measurements, run.signals["mislabeled"], run.signals["anomalous"], generator)


def confidence_table(runs: Sequence[KnownRun]) -> list[str]:
    """Over what is flagged where the number is told: what a job computes, calibrated where a rule was measured, what is the case, and the expected calibration error."""
    heads = [f"{what}: shown, is, error, error of one job" for what in ("label is wrong", "suggestion is right")]
    lines = ["| data | calibrated | jobs | flagged | " + " | ".join(heads) + " |", "|---" * 6 + "|"]
    parts: dict[tuple[str, str], list[_Flagged]] = defaultdict(list)
    for run in runs:
        verdicts, m = decided(run), run.measurements
        flags, estimate = verdicts.mislabeled, verdicts.mislabeled_estimate
        if estimate.doubt is not None or int(flags.sum()) < MANY:
            continue
        rule = calibration_of(m, estimate, recalibrated=False)
        for title, calibration in (("no", None), *([] if rule is None else [("yes", rule)])):
            label, sure, wrong = suggest(
                m.dynamics.early,
                m.votes.mean,
                run.labels,
                flags,
                run.signals["mislabeled"],
                estimate.count,
                calibration=calibration,
            )
            right = (label == run.right) & run.wrong
            columns = (wrong[flags], run.wrong[flags], sure[flags], right[flags])
            parts[modality_of(run.name), title].append(tuple(column.double().numpy() for column in columns))
    for (modality, title), several in parts.items():
        joined = [np.concatenate(column) for column in zip(*several, strict=True)]
        cells = [title, str(len(several)), str(len(joined[0]))]
        for shown, true in ((0, 1), (2, 3)):
            error = calibration_error(joined[shown], joined[true])
            alone = mean(calibration_error(one[shown], one[true]) for one in several)
            cells.append(f"{joined[shown].mean():.2f}, {joined[true].mean():.2f}, {error:.3f}, {alone:.3f}")
        lines.append(f"| {modality} | " + " | ".join(cells) + " |")
    return lines


def modality_of(name: str) -> str:
    """The kind of data of a set."""
    kinds: list[tuple[Iterable[str], str]] = [(EMBEDDINGS, "embeddings"), (IMAGES, "images"), (TEXTS, "texts")]
    return next((kind for names, kind in kinds if name in names), "tables")


def calibration_error(shown: NDArray[np.float64], true: NDArray[Any]) -> float:
    """Mean difference between the two over ten bins of equal width, weighed by their samples (Guo et al. 2017)."""
    place = np.minimum((shown * _BINS).astype(int), _BINS - 1)
    return sum(abs(float((shown - true)[place == one].sum())) for one in range(_BINS)) / len(shown)


def asked_runs(description: str | None) -> tuple[argparse.Namespace, Sequence[str]]:
    """What the command line asks of kept runs, and the names of the sets."""
    parser = run_options(description)
    arguments = parser.parse_args()
    return arguments, sets_of(arguments)


def run_options(description: str | None) -> argparse.ArgumentParser:
    """The options that choose kept runs."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=["reported", "tuned"], default="reported")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "truth")
    parser.add_argument("--sets", nargs="+", help="only these of the half")
    return parser


def sets_of(arguments: argparse.Namespace) -> Sequence[str]:
    """The names of the sets that are asked for."""
    return arguments.sets or (REPORTED if arguments.half == "reported" else TUNED)


def main() -> None:
    """Run and write."""
    parser = run_options(__doc__)
    parser.add_argument("--part", choices=["alone", "verified"], help="only runs without, or with, verified samples")
    arguments = parser.parse_args()
    names, seeds = sets_of(arguments), range(arguments.seeds)

    def runs(verified: int) -> list[KnownRun]:
        return list(known_runs(names, (NONE, *KINDS), arguments.rows, seeds, verified, arguments.cache))

    sections: dict[str, list[str]] = {}
    if arguments.part != "verified":
        alone = runs(0)
        sections |= {
            "Wrong labels found, average precision / F1, no reference": found_table(alone),
            "How many are wrong, no reference": count_table(alone),
            "Confidence of what is flagged, no reference": confidence_table(alone),
        }
    if arguments.part != "alone":
        verified = runs(VERIFIED)
        sections |= {
            "How many are wrong, with verified samples": count_table(verified),
            "Confidence of what is flagged, with verified samples": confidence_table(verified),
        }
    title = f"True answers: the {arguments.half} half, {arguments.rows} rows, {arguments.seeds} seeds"
    print(write_sections(RESULTS / f"truth-{arguments.half}.md", title, sections))


if __name__ == "__main__":
    main()
