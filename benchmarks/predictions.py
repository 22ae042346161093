"""Out-of-sample predictions, ranked by us and by cleanlab: what is found, and how many wrong labels are counted.

    python -m benchmarks.predictions [--seeds 2] [--rows 3000] [DATASET ...]

Ten percent of the labels are made wrong: uniformly, by pairs of classes, by likeness of classes (Yoruba headlines have weak
labels, a third of them wrong); scikit-learn's logistic regression and MLP predict each fifth of the samples from the others.
The arrays go through a file and ingest, as an upload does, without the features that the models learnt from and with
them. cleanlab ranks the same probabilities by self-confidence and by normalised margin, and counts by its confident joint.
Ours counts once more with 600 rows whose labels somebody has verified. The labels as they come tell how many are flagged
for nothing. The rules were chosen on the first half of the sets and on others; the second half had no part in it.
"""

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cleanlab.count import num_label_issues
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier
from torch.nn.functional import one_hot

from benchmarks import embeddings
from benchmarks.data import DATA, load, taken
from service.domain.dataset import DatasetSpec
from service.domain.resolve import resolve
from service.domain.specs import Glitch, JobOptions, Reference
from worker.data.encoding import Encoder
from worker.data.glitches import plant
from worker.job.predictions import measure_predictions
from worker.job.ranking import RankingResult, rank
from worker.signals.summaries import detection

RESULTS = Path(__file__).parent / "results"
CHOSEN_ON = ("satimage", "letter", "adult", "yoruba")
NEW = ("bank", "magic", "phoneme", "cifar_lite0")
RATE, FOLDS, VERIFIED = 0.1, 5, 600
KINDS = ("uniform", "pair", "confusion")
RANKINGS = ("`mislabeled`", "`mislabeled`, features", "self-confidence", "normalised margin")
COUNTS = ("ours", "ours, features", "ours, 600 verified", "confident joint")
METHODS = ("self_confidence", "normalized_margin")
MEASURES = ("average_precision", "f1")

Array = NDArray[Any]
Row = tuple[str, ...]


@dataclass(frozen=True)
class Set:
    """Numbers to learn from, the given labels and the right ones."""

    name: str
    kind: str
    x: Array
    labels: Array
    truth: Array


@dataclass(frozen=True)
class Count:
    """How many labels are said to be wrong beside how many are; cleanlab gives no interval."""

    wrong: int
    said: int
    held: bool | None


@dataclass(frozen=True)
class Run:
    """What was found and counted on a set by one model."""

    name: str
    kind: str
    model: str
    found: Mapping[str, Mapping[str, float]]
    counted: Mapping[str, Count]


def models(seed: int) -> dict[str, Any]:
    """Two that many have."""
    return {
        "logistic regression": LogisticRegression(max_iter=500),
        "MLP": MLPClassifier((64,), max_iter=30, alpha=1e-3, random_state=seed),
    }


def sets(name: str, rows: int, seed: int) -> Iterator[Set]:
    """With each kind of wrong labels, and as it comes."""
    if name == "yoruba":
        if seed == 0:
            x, weak, right = embeddings.yoruba(DATA)
            known = np.unique([weak, right])
            yield Set(name, "weak", x, np.searchsorted(known, weak), np.searchsorted(known, right))
        return
    _, dataset = load(name, rows, seed)
    everyone, classes = torch.arange(len(dataset.labels)), len(dataset.header.classes)
    encoder = Encoder.fit(dataset, everyone, {})
    inputs, truth = encoder.encode(dataset, everyone), dataset.labels.numpy()
    x = _flat(inputs, encoder.shape.cardinalities)
    for kind in KINDS:
        glitch = Glitch.model_validate({"kind": f"mislabeled_{kind}", "rate": RATE, "seed": seed})
        yield Set(name, kind, x, plant(inputs, dataset.labels, classes, [glitch]).labels.numpy(), truth)
    yield Set(name, "none", x, truth, truth)


def _flat(inputs: tuple[torch.Tensor, ...], cardinalities: tuple[int, ...]) -> Array:
    if len(inputs) == 1:
        return inputs[0].numpy()
    numeric, codes = inputs
    words = [one_hot(codes[:, place], size).float() for place, size in enumerate(cardinalities)]
    return torch.cat([numeric, *words], 1).numpy()


def compared(given: Set, title: str, model: Any, seed: int) -> Run:
    """Rankings and counts of the same predictions."""
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    probable = cross_val_predict(model, given.x, given.labels, cv=folds, method="predict_proba")
    arrays, wrong = {"labels": given.labels, "pred_probs": probable}, given.labels != given.truth
    ours = [_ours(arrays), _ours({**arrays, "features": given.x})]
    counts = [_count(outcome, wrong) for outcome in ours]
    counts.append(_verified(arrays, given, seed))
    counts.append(Count(int(wrong.sum()), int(num_label_issues(given.labels, probable)), None))
    scores = [outcome.table["mislabeled"].to_numpy() for outcome in ours]
    scores += [-get_label_quality_scores(given.labels, probable, method=method) for method in METHODS]
    found = {name: detection(one, wrong) for name, one in zip(RANKINGS, scores, strict=True)} if wrong.any() else {}
    return Run(given.name, given.kind, title, found, dict(zip(COUNTS, counts, strict=True)))


def _count(outcome: RankingResult, wrong: NDArray[np.bool_]) -> Count:
    estimate, there = outcome.result["estimates"]["mislabeled"], int(wrong.sum())
    return Count(there, estimate["count"], estimate["low"] <= there <= estimate["high"])


def _verified(arrays: dict[str, Array], given: Set, seed: int) -> Count:
    """With the right labels of some rows, which are then not ranked."""
    order = np.random.default_rng(seed).permutation(len(given.labels))
    held = min(VERIFIED, len(order) // 4)
    known, rest = np.sort(order[:held]), np.sort(order[held:])
    split = {name: array[rest] for name, array in arrays.items()}
    split |= {"reference_labels": given.truth[known], "reference_pred_probs": arrays["pred_probs"][known]}
    return _count(_ours(split, Reference(split="reference")), (given.labels != given.truth)[rest])


def _ours(arrays: dict[str, Array], reference: Reference | None = None) -> RankingResult:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        np.savez(folder / "predictions.npz", allow_pickle=False, **arrays)
        info, dataset = taken(folder / "predictions.npz", DatasetSpec(), folder)
        spec = resolve(JobOptions(reference=reference), info)
        samples, scored = measure_predictions(spec, dataset, folder / "scratch", lambda _share: None)
        return rank(samples, spec, scored, dataset)


def detected(runs: Sequence[Run], heads: Sequence[str], part: Callable[[Run], Row]) -> str:
    """Average precision and F1 by ranking, means over each part."""
    groups = _by([run for run in runs if run.found], part)
    rows = [
        (
            *names,
            *(
                " / ".join(f"{statistics.mean(run.found[one][what] for run in group):.3f}" for what in MEASURES)
                for one in RANKINGS
            ),
        )
        for names, group in groups.items()
    ]
    return _table((*heads, *RANKINGS), rows, "average precision / F1 at the true count")


def counted(runs: Sequence[Run]) -> str:
    """Mean of the counts, and how often the interval holds the truth."""
    rows = []
    for names, group in _by(runs, lambda run: (run.name, run.model, str(run.counted[COUNTS[0]].wrong))).items():
        cells = []
        for one in COUNTS:
            known = [count.held for _, count in _with(group, one) if count.held is not None]
            held = f" ({sum(known)}/{len(known)})" if known else ""
            cells.append(
                f"{statistics.mean(count.said * _scale(run, count) for run, count in _with(group, one)):.0f}{held}"
            )
        rows.append((*names, *cells))
    return _table(("dataset", "predicted by", "wrong", *COUNTS), rows, "mean count (interval holds the truth)")


def _with(group: Sequence[Run], name: str) -> Iterable[tuple[Run, Count]]:
    return ((run, run.counted[name]) for run in group)


def _scale(run: Run, count: Count) -> float:
    """Counts of a part of the rows as if of all."""
    return run.counted[COUNTS[0]].wrong / count.wrong if count.wrong else 1.0


def errors(runs: Sequence[Run]) -> str:
    """How far the counts are off."""
    rows = []
    for one in COUNTS:
        dirty = [count for _, count in _with(runs, one) if count.wrong]
        clean = [count for _, count in _with(runs, one) if not count.wrong]
        off = [abs(count.said - count.wrong) / count.wrong for count in dirty]
        rows.append(
            (
                one,
                f"{statistics.mean(off):.2f}",
                f"{statistics.mean(value <= 0.25 for value in off):.0%}",
                f"{sum(count.said > 0 for count in clean)} of {len(clean)}",
            )
        )
    return _table(("count", "mean relative error", "within a quarter", "flagged as it comes"), rows, "all cells")


def _by(runs: Iterable[Run], part: Callable[[Run], Row]) -> dict[Row, list[Run]]:
    groups: dict[Row, list[Run]] = {}
    for run in runs:
        groups.setdefault(part(run), []).append(run)
    return groups


def _table(heads: Row, rows: Sequence[Row], title: str) -> str:
    shown = Table(*heads, title=title)
    for row in rows:
        shown.add_row(*row)
    Console(width=170).print(shown)
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ("---",) * len(heads), *rows))


def main() -> None:
    """Print the tables and write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", default=[*CHOSEN_ON, *NEW], metavar="DATASET")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=3_000)
    arguments = parser.parse_args()
    runs: list[Run] = []
    for name in arguments.datasets:
        for seed in range(arguments.seeds):
            for given in sets(name, arguments.rows, seed):
                runs += [compared(given, title, model, seed) for title, model in models(seed).items()]
        print(name, flush=True)
    text = [
        f"# Out-of-sample predictions, {arguments.rows} rows, {arguments.seeds} seeds",
        "## Average precision / F1 at the true count, mean of three kinds of wrong labels",
        detected(runs, ("dataset", "predicted by"), lambda run: (run.name, run.model)),
        "## The same by kind, mean of sets and models",
        detected(runs, ("wrong labels",), lambda run: (run.kind,)),
        "## How many labels are wrong: mean count, and in how many runs the interval holds the truth",
        "0 wrong: labels as they come.",
        counted(runs),
        errors(runs),
        f"The rules were chosen on {', '.join(CHOSEN_ON)} and others; {', '.join(NEW)} had no part in it.",
    ]
    (RESULTS / "predictions.md").write_text("\n\n".join(text) + "\n")


if __name__ == "__main__":
    main()
