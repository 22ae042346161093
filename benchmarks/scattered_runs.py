"""Jobs without a reference that have known anomalies: samples of another source, scattered and with any label.

Kinds: `stranger`, samples of another set (letters among digits, clothes or photographs, headlines among questions and the
reverse); `novel`, samples of classes that are otherwise left out; `real`, the anomalies of a set that has its own, whose
normal samples are labelled by their 4-means cluster; and the `glitches` that change single samples or add a near cluster.
"""

import csv
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from torch import Tensor

from benchmarks.data import DATA, EMBEDDINGS, IMAGES, TEXTS, embedded, load, scratch, taken
from benchmarks.runs import fixed, run
from benchmarks.truth_runs import flat_inputs
from service.domain.dataset import DatasetInfo, DatasetSpec
from service.domain.signal import HEADLINES, SIGNALS
from service.domain.specs import Glitch, JobOptions, TrainingRequest
from worker.data.canonical import Canonical
from worker.signals.formulas import compute
from worker.signals.measurements import Measurements
from worker.signals.summaries import detection

NONE, STRANGER, NOVEL, REAL = "none", "stranger", "novel", "real"
NEAR = ("near_clustered",)
GLITCHES = ("far_scattered", "extreme", "shuffled", *NEAR)
REALS = ("annthyroid", "pageblocks", "optdigits", "satellite", "shuttle")
SLOW = ("mnist", "fmnist", "trec", "yoruba")  # trained from scratch: only strangers
_MANY_CLASSES = ("covtype10k", "satimage", "letter", "trec", "trec_minilm")
_LETTERS = {"mnist": (0, 5), "mnist_lite0": (0, 5), "fmnist": (5, 10), "fmnist_lite0": (5, 10), "cifar_lite0": (5, 10)}
_OTHER_TEXTS = {"trec": "yoruba", "yoruba": "trec", "trec_minilm": "yoruba", "yoruba_minilm": "trec"}
_CLUSTERS = 4
_COMMON = 150  # samples of a class that may be left out


@dataclass(frozen=True)
class StrangeRun:
    """What one job measured, which samples are anomalies, and what other detectors read: inputs, and inputs of the last layer."""

    name: str
    kind: str
    rate: float
    seed: int
    modality: str
    measurements: Measurements
    strange: Tensor
    inputs: NDArray[Any]
    activations: NDArray[Any]

    @cached_property
    def signals(self) -> dict[str, Tensor]:
        """Every signal, by the formulas of today."""
        return compute(self.measurements, list(dict.fromkeys([*HEADLINES, *SIGNALS])))

    def found(self, scores: NDArray[Any] | Tensor) -> dict[str, float]:
        """Average precision, and F1 at the number of anomalies, of scores with higher = more suspicious."""
        return detection(np.asarray(scores, np.float64), self.strange.numpy())


def kinds_of(name: str) -> tuple[str, ...]:
    """The kinds that a set can have."""
    if name in REALS:
        return (REAL,)
    found = []
    if name in IMAGES or name in EMBEDDINGS or name in TEXTS:
        found.append(STRANGER)
    if name in IMAGES or name in _MANY_CLASSES or name.endswith("_lite0"):
        found.append(NOVEL)
    return (*found, *GLITCHES)


def strange_runs(
    names: Iterable[str], rates: Iterable[float], rows: int, seeds: Iterable[int], cache: Path
) -> Iterator[StrangeRun]:
    """Each run of these sets, read from the cache or made now; one without anomalies for each set and seed."""
    cache.mkdir(parents=True, exist_ok=True)
    rates = tuple(rates)
    for seed in seeds:
        for name in names:
            cells = [(kind, rate) for kind in kinds_of(name) for rate in rates]
            if name in SLOW:
                cells = [(kind, rate) for kind, rate in cells if kind == STRANGER]
            for kind, rate in [(NONE, 0.0), *cells]:
                kept = cache / f"{name}-{kind}-{rate}-{rows}-{seed}.pt"
                if not kept.exists():
                    made = _made(name, kind, rate, rows, seed)
                    torch.save(made, kept.with_suffix(".part"))
                    kept.with_suffix(".part").rename(kept)
                # The file is one that this function wrote: classes of this project, which only a full load restores.
                yield torch.load(kept, weights_only=False)


def _made(name: str, kind: str, rate: float, rows: int, seed: int) -> StrangeRun:
    glitches = None
    if kind in (STRANGER, NOVEL) or name in REALS:
        info, dataset, added = mixed(name, kind, round(rate * rows), rows, seed)
    else:
        info, dataset = load(name, rows, seed)
        added = None
        if kind != NONE:
            glitches = [Glitch.model_validate({"kind": f"anomalous_{kind}", "rate": rate, "seed": seed})]
    done = run(info, dataset, JobOptions(model=fixed(info), glitches=glitches, training=TrainingRequest(seed=seed)))
    m = done.scored.measurements
    if not isinstance(m, Measurements):
        raise TypeError(f"a job on {name} measured answers alone")
    strange = done.prepared.planted.touched
    if added is not None:
        strange = torch.from_numpy(added)[dataset.index[done.prepared.rows]]
    return StrangeRun(
        name,
        kind,
        rate,
        seed,
        info.modality,
        m,
        strange,
        flat_inputs(done.prepared.inputs, info.modality),
        done.scored.train.activations[0].numpy(),
    )


def mixed(name: str, kind: str, count: int, rows: int, seed: int) -> tuple[DatasetInfo, Canonical, NDArray[np.bool_]]:
    """The set with `count` of its rows replaced; which of its rows are."""
    draws = np.random.default_rng(seed)
    x, y, others = _parts(name, kind, draws)
    count = min(count, round(min(rows, len(y)) * count / rows), len(others))
    kept = draws.permutation(len(y))[: rows - count]
    others = others[draws.permutation(len(others))[:count]]
    labels = np.concatenate([y[kept], draws.choice(np.unique(y), len(others))])
    order = draws.permutation(len(labels))
    values, labels = np.concatenate([x[kept], others])[order], labels[order]
    folder = scratch()
    info, dataset = taken(*_upload(name, values, labels, folder), folder)
    return info, dataset, (np.arange(len(labels)) >= len(kept))[order]


def _upload(name: str, values: NDArray[Any], labels: NDArray[Any], folder: Path) -> tuple[Path, DatasetSpec]:
    if name in IMAGES or name in EMBEDDINGS:
        source = folder / f"{name}.npz"
        np.savez(source, x=values, y=labels)
        return source, DatasetSpec(name=name) if name in IMAGES else DatasetSpec(name=name, modality="embedding")
    source = folder / f"{name}.csv"
    with source.open("w", newline="") as file:
        writer = csv.writer(file)
        columns = ["text"] if name in TEXTS else [f"c{column}" for column in range(values.shape[1])]
        writer.writerow([*columns, "target"])
        for row, label in zip(values.tolist(), labels, strict=True):
            writer.writerow([*([row] if name in TEXTS else row), f"k{label}"])
    return source, DatasetSpec(name=name, label="target")


def _parts(name: str, kind: str, draws: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Inputs and labels of the samples that stay, and the anomalies to draw from."""
    if name in REALS:
        arrays = np.load(DATA / "anomaly" / f"{name}.npz")
        x, strange = arrays["x"].astype(np.float64), arrays["y"] == 1
        scaled = (x - x[~strange].mean(0)) / (x[~strange].std(0) + 1e-9)
        clusters = KMeans(_CLUSTERS, n_init=3, random_state=0).fit_predict(scaled[~strange])
        return x[~strange], clusters, x[strange]
    x, y = _set(name)
    if kind == STRANGER:
        return x, y, _strangers(name)
    classes, sizes = np.unique(y, return_counts=True)
    left_out = draws.permutation(classes[sizes >= _COMMON])[: max(1, len(classes) // 5)]
    novel = np.isin(y, left_out)
    return x[~novel], y[~novel], x[novel]


def _set(name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    if name in EMBEDDINGS:
        return embedded(name)
    if name in IMAGES:
        arrays = np.load(DATA / "images" / f"{name}.npz")
        return arrays["x_train"], arrays["y_train"]
    stem, label = TEXTS.get(name, (name, "target"))
    with gzip.open(DATA / ("text" if name in TEXTS else "tabular") / f"{stem}.csv.gz", "rt") as file:
        lines = list(csv.DictReader(file))
    labels = np.array([line[label] for line in lines])
    if name in TEXTS:
        return np.array([line["text"] for line in lines]), labels
    return np.array([[value for column, value in line.items() if column != label] for line in lines]), labels


def _strangers(name: str) -> NDArray[Any]:
    """Samples of another set."""
    if name in TEXTS:
        return _set(_OTHER_TEXTS[name])[0]
    # The packages that carry the backbones are wanted by nobody else.
    from benchmarks import embeddings

    if name in _OTHER_TEXTS:
        return embeddings.strange_texts(DATA, _OTHER_TEXTS[name])
    low, high = _LETTERS[name]
    if name in EMBEDDINGS:
        return embeddings.letters(DATA, low, high)
    arrays = np.load(DATA / "images" / "notmnist_ood.npz")
    chosen: NDArray[Any] = arrays["x"][(arrays["y"] >= low) & (arrays["y"] < high)]
    return chosen
