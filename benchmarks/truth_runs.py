"""Jobs with known wrong labels, kept whole, so that another blend or count is compared without training again.

What is kept is what a job measures; scores and the margin with confusions are computed by today's formulas when a run is read.
Each run is one job in this process on one development set, with the model that `auto` is where no pretrained network is at hand
(trees beside the network of a table included), with 10 % planted errors of one kind, with none, or with those of
the weak labels of `yoruba`. Beside what the job measured are probabilities by other models, each sample's by a fit on the
other four folds, on the inputs as the job's model gets them: of a text how often it has each token.
"""

import csv
import gzip
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from torch import Tensor
from torch.nn.functional import one_hot

from benchmarks.data import DATA, chosen_rows, load
from benchmarks.runs import run
from service.domain.signal import HEADLINES, SIGNALS
from service.domain.specs import Glitch, JobOptions, ModelRequest, Reference, TrainingRequest
from worker.signals.confusions import confusion_margin, held_out_prediction
from worker.signals.formulas import compute
from worker.signals.measurements import Measurements
from worker.signals.summaries import detection

KINDS = (
    "mislabeled_uniform",
    "mislabeled_pair",
    "mislabeled_confusion",
    "mislabeled_one_way",
    "mislabeled_human",
)
NONE, NATURAL = "none", "natural"
WEAK = ("yoruba", "yoruba_minilm")  # their labels are wrong as they are
RATE = 0.1
LOGISTIC, TREES = "logistic regression", "LightGBM"
_FOLDS = 5
_PENALTIES = (
    0.01,
    0.1,
    1.0,
)  # C of logistic regression; the one with the smallest loss on the other folds' labels is used


@dataclass(frozen=True)
class KnownRun:
    """What one job measured, its logits [checkpoints, n, c], which labels are wrong, the right ones, and out-of-fold probabilities by model."""

    name: str
    kind: str
    verified: int
    seed: int
    model: str
    measurements: Measurements
    logits: Tensor
    wrong: Tensor
    right: Tensor
    others: dict[str, Tensor]

    @property
    def labels(self) -> Tensor:
        """Labels that the job had."""
        return self.measurements.labels

    @cached_property
    def signals(self) -> dict[str, Tensor]:
        """Every signal, by the formulas of today."""
        return compute(self.measurements, list(dict.fromkeys([*HEADLINES, *SIGNALS])))

    def found(self, scores: Tensor) -> dict[str, float]:
        """Average precision, and F1 at the number of wrong labels, of scores with higher = more suspicious."""
        return detection(scores.double().numpy(), self.wrong.numpy())

    def self_confidence(self, model: str) -> Tensor:
        """Cleanlab's score by another model: the probability of the label, negated."""
        return -self.others[model].gather(1, self.labels[:, None]).squeeze(1)


def known_runs(
    names: Iterable[str],
    kinds: Iterable[str],
    rows: int,
    seeds: Iterable[int],
    verified: int,
    cache: Path,
    *,
    rate: float = RATE,
    others: bool = True,
) -> Iterator[KnownRun]:
    """Each run of these sets, read from the cache or made now. `verified`: samples that serve as trusted reference.

    `rate`: share of the labels that is made wrong. Without `others` no other models are fitted, which takes most of the time.
    """
    cache.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        for name in names:
            for kind in (NATURAL,) if name in WEAK else kinds:
                parts = [
                    name,
                    kind,
                    rows,
                    verified,
                    seed,
                    *([] if rate == RATE else [rate]),
                    *([] if others else ["alone"]),
                ]
                kept = cache / ("-".join(map(str, parts)) + ".pt")
                if not kept.exists():
                    made = _made(name, kind, rows, seed, verified, rate, others)
                    torch.save(made, kept.with_suffix(".part"))
                    kept.with_suffix(".part").rename(kept)
                # The file is one that this function wrote: classes of this project, which only a full load restores.
                yield by_todays_rule(torch.load(kept, weights_only=False))


def by_todays_rule(run: KnownRun) -> KnownRun:
    """The run with its margin with confusions computed anew from the logits."""
    m = run.measurements
    held_out = held_out_prediction(
        m.position.guess, m.votes.first, m.votes.mean, m.embedding_votes, m.labels, m.by_trees
    )
    return replace(run, measurements=replace(m, confusion=confusion_margin(run.logits, held_out, m.labels, m.by_trees)))


def _made(
    name: str, kind: str, rows: int, seed: int, verified: int, rate: float = RATE, others: bool = True
) -> KnownRun:
    info, dataset = load(name, rows + verified, seed)
    planted = None
    if kind not in (NONE, NATURAL):
        planted = [Glitch.model_validate({"kind": kind, "rate": rate, "seed": seed})]
    order = np.random.default_rng(seed).permutation(len(dataset.ids))
    known = [dataset.ids[row] for row in order[: min(verified, len(order) // 4)]]
    options = JobOptions(
        model=ModelRequest(),
        glitches=planted,
        training=TrainingRequest(seed=seed),
        reference=Reference(samples=known) if known else None,
    )
    done = run(info, dataset, options)
    m = done.scored.measurements
    if not isinstance(m, Measurements):
        raise TypeError(f"a job on {name} measured answers alone")
    right = done.prepared.original
    if kind == NATURAL:
        right = _right_labels(rows + verified, seed, dataset.index[done.prepared.rows], done.prepared.classes)
    inputs = flat_inputs(done.prepared.inputs, info.modality)
    return KnownRun(
        name,
        kind.removeprefix("mislabeled_"),
        len(known),
        seed,
        done.spec.model.name,
        m,
        done.scored.train.logits,
        right != m.labels,
        right,
        _others(inputs, m.labels, len(done.prepared.classes), info.modality, seed) if others else {},
    )


def _others(inputs: NDArray[Any], labels: Tensor, classes: int, modality: str, seed: int) -> dict[str, Tensor]:
    found = {LOGISTIC: _logistic(inputs, labels, classes, modality, seed)}
    if modality == "tabular":
        found[TREES] = out_of_fold(boosting(seed), inputs, labels, classes, seed)
    return found


def boosting(seed: int, threads: int = 1) -> lightgbm.LGBMClassifier:
    """LightGBM with its defaults, the same bits every time."""
    return lightgbm.LGBMClassifier(n_jobs=threads, verbose=-1, random_state=seed, deterministic=True)


def _right_labels(rows: int, seed: int, index: Tensor, classes: list[str]) -> Tensor:
    """The clean labels of these rows of the weakly labelled headlines."""
    with gzip.open(DATA / "text" / "yoruba_news_weak.csv.gz", "rt") as file:
        lines = list(csv.DictReader(file))
    drawn = [lines[row] for row in chosen_rows(len(lines), rows, seed)]
    return torch.tensor([classes.index(drawn[row]["clean_label"]) for row in index.tolist()])


def _logistic(inputs: NDArray[Any], labels: Tensor, classes: int, modality: str, seed: int) -> Tensor:
    prepare: Callable[[], Any] = {"image": MaxAbsScaler, "text": TfidfTransformer}.get(modality, StandardScaler)
    tried = [
        out_of_fold(
            make_pipeline(prepare(), LogisticRegression(C=penalty, max_iter=300)), inputs, labels, classes, seed
        )
        for penalty in _PENALTIES
    ]
    losses = [float(-p.gather(1, labels[:, None]).clamp(min=1e-9).log().mean()) for p in tried]
    return tried[losses.index(min(losses))]


def out_of_fold(model: Any, inputs: NDArray[Any], labels: Tensor, classes: int, seed: int) -> Tensor:
    """Probabilities [n, classes] of each sample by a fit on the other folds."""
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class with fewer rows than folds, and of an unfinished fit
        predicted = cross_val_predict(model, inputs, labels.numpy(), cv=folds, method="predict_proba")
    result = torch.zeros(len(labels), classes)
    result[:, labels.bincount().nonzero().squeeze(1)] = torch.from_numpy(predicted).float()
    return result


def flat_inputs(inputs: tuple[Tensor, ...], modality: str) -> NDArray[Any]:
    """One row of numbers a sample: of a text how often it has each token, of a category one column for each value."""
    parts = []
    for part in inputs:
        if part.is_floating_point() or modality == "image":
            parts.append(part.flatten(1).float())
        elif modality == "text":
            counts = torch.zeros(len(part), int(part.max()) + 1)
            ones = torch.ones(part.shape)
            parts.append(counts.scatter_add_(1, part.long(), ones)[:, 1:])  # 0 fills up
        else:
            parts += [one_hot(column.long()).float() for column in part.T]
    return torch.cat(parts, 1).numpy()
