"""The whole computation of a job: canonical datasets in, ranking out. No database, no queue; files only as scratch.

    prepare -> fit -> score -> rank

Every checkpoint that `fit` reaches is handed out, and `fit` goes on from any of them, so that a job survives its
worker: the bits that come out are the same.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int
from torch import Tensor, nn

from service.domain.dataset import Warning
from service.domain.errors import FieldError, Invalid
from service.domain.models import MODELS
from service.domain.signal import HEADLINES
from service.domain.specs import JobSpec
from worker.decode import Canonical, Encoder, Inputs, align
from worker.glitches import Planted, plant
from worker.influence.factors import Recorder, Trace
from worker.influence.layers import UncoveredLayer, layer_names
from worker.influence.projection import Projection
from worker.influence.sources import ChosenLayers, Network
from worker.models import build, head
from worker.partition import Columns, draw_columns, partition
from worker.signals.counts import Estimate
from worker.signals.formulas import compute
from worker.signals.groups import Group
from worker.signals.measurements import Chosen, Measurements, Measuring, Reference, early_checkpoints
from worker.signals.proposals import Proposal, proposals
from worker.signals.summaries import ranking, summarise
from worker.signals.verdicts import TRUSTED_ROWS, Verdicts, around_cut, decide, suggest
from worker.signals.witnesses import reference_pool, strongest_suspects, training_pool, witnesses
from worker.training import EpochMetrics, TrainingState, train

_CLASSES_KEPT = 8
_UNTOLD = 0.05  # of the samples: an interval from none to more than these says little
_WAITING = 2  # checkpoints that wait to be measured beside training
_SMALL_STEP = 2**24  # parameters times batch, up to which a second core hardly shortens a step


@dataclass(frozen=True)
class Prepared:
    """Tensors of the training part and of the reference. `reference_rows` are rows of the reference's own file."""

    rows: Int[Tensor, " n"]
    inputs: Inputs
    planted: Planted
    original: Int[Tensor, " n"]
    reference_rows: Int[Tensor, " m"]
    reference_inputs: Inputs
    reference_labels: Int[Tensor, " m"]
    columns: Columns | None
    classes: list[str]
    model: nn.Module


@dataclass(frozen=True)
class Scored:
    """What the checkpoints say of every sample; `reference` is None where the training rows serve themselves."""

    measurements: Measurements
    train: Trace
    reference: Trace | None
    reference_accuracy: float | None


@dataclass(frozen=True)
class Outcome:
    """A finished ranking: `table` has the columns of the store's suspects, `evidence` its arrays by sample."""

    table: pa.Table
    summaries: dict[str, dict[str, Any]]
    evidence: dict[str, np.ndarray[Any, Any]]
    result: dict[str, Any]


def prepare(spec: JobSpec, dataset: Canonical, reference: Canonical | None) -> Prepared:
    """Split, plant, encode and build. Raises Invalid for what a client can mend."""
    part = partition(dataset.ids, dataset.splits, dataset.labels, spec.reference, spec.training.seed)
    original = dataset.labels[part.train]
    encoder = Encoder.fit(dataset, part.train, spec.model.params.get("image_size"))
    source, rows = dataset, part.reference
    if reference is not None:
        source = align(reference, dataset)
        rows = torch.arange(len(source.labels))
    serves_itself = spec.reference is None
    model = build(spec.model, encoder.shape, len(dataset.header.classes), spec.training.seed)
    planted = plant(encoder.encode(dataset, part.train), original, len(dataset.header.classes), spec.glitches or [])
    return Prepared(
        rows=part.train,
        inputs=planted.inputs,
        planted=planted,
        original=original,
        reference_rows=rows,
        reference_inputs=tuple(x[:0] for x in planted.inputs) if serves_itself else encoder.encode(source, rows),
        reference_labels=source.labels[rows],
        columns=draw_columns(planted.labels, spec.influence.columns, spec.training.seed) if serves_itself else None,
        classes=dataset.header.classes,
        model=model,
    )


def fit(
    prepared: Prepared,
    spec: JobSpec,
    resume: TrainingState | None,
    after_epoch: Callable[[TrainingState, EpochMetrics], None],
) -> None:
    """Train, handing out the state at every epoch's end."""
    train(
        prepared.model,
        prepared.inputs,
        prepared.planted.labels,
        spec.training,
        resume=resume,
        after_epoch=after_epoch,
    )


class Scoring:
    """Measures influence, dynamics and neighbours at the checkpoints, in order.

    A small network trains as fast on one core as on all of them. Its checkpoints are then measured on another core
    while training goes on; otherwise they wait until `finish`.
    """

    def __init__(self, prepared: Prepared, spec: JobSpec, rates: Sequence[float], scratch: Path) -> None:
        """Raises Invalid when the influence is asked of a layer that is not covered."""
        # A copy: the model itself may be in training at the same time.
        self._prepared, self._spec, self._model = prepared, spec, deepcopy(prepared.model)
        self._last, self._threads = head(self._model), torch.get_num_threads()
        self._train = Recorder(self._model, self._last, prepared.inputs, rates, scratch)
        self._known: Recorder | None = None
        if prepared.columns is None:
            self._known = Recorder(self._model, self._last, prepared.reference_inputs, rates, scratch / "reference")
        self._network = _network(self._model, self._last, spec)
        self._measuring = Measuring(
            self._train.trace,
            prepared.planted.labels,
            self._reference(),
            len(prepared.classes),
            spec.training.seed,
            prepared.inputs[0] if MODELS[spec.model.name].modality == "embedding" else None,
            None if self._network is None else _chosen(self._network, prepared),
        )
        self._beside: ThreadPoolExecutor | None = None
        self._offered: deque[Future[None]] = deque()
        self._done = 0

    def __enter__(self) -> "Scoring":
        if self._threads > 1 and _leaves_cores_idle(self._spec, self._prepared.model):
            torch.set_num_threads(self._threads - 1)
            self._beside = ThreadPoolExecutor(1, "scoring", initializer=torch.set_num_threads, initargs=(1,))
        return self

    def __exit__(self, *_error: object) -> None:
        if self._beside is not None:
            self._beside.shutdown(cancel_futures=True)
            torch.set_num_threads(self._threads)

    def offer(self, load: Callable[[], dict[str, Tensor]]) -> None:
        """Hand over the next checkpoint; it is measured now, in the background, when that costs training nothing."""
        if self._beside is None:
            return
        # What waits is held in memory: never more than a few checkpoints.
        while len(self._offered) > _WAITING:
            self._offered.popleft().result()
        self._offered.append(self._beside.submit(self._at, load))

    def catch_up(self) -> None:
        """Wait until every checkpoint that was offered is measured."""
        while self._offered:
            self._offered.popleft().result()

    def finish(self, load: Callable[[int], dict[str, Tensor]], tell: Callable[[float], None]) -> Scored:
        """Measure what is left, `load` giving the parameters of any checkpoint, then every pair."""
        self.catch_up()
        self.__exit__()
        count = len(self._train.trace.rates)
        for step in range(self._done, count):
            self._at(lambda step=step: load(step))  # type: ignore[misc]
            tell(0.7 * (step + 1) / count)
        measured = self._measuring.finish(lambda share: tell(0.7 + 0.3 * share))
        if self._known is None:
            return Scored(measured, self._train.trace, None, None)
        accuracy = _accuracy(self._known.trace.logits[-1], self._prepared.reference_labels)
        return Scored(measured, self._train.trace, self._known.trace, accuracy)

    def _at(self, load: Callable[[], dict[str, Tensor]]) -> None:
        self._model.load_state_dict(load())
        if self._network is not None:
            self._network.keep(self._model.state_dict())
        wanted = self._measuring.wants_inner(self._done)
        inner = self._train.at(self._done, inner=wanted)
        known = None if self._known is None else self._known.at(self._done, inner=wanted)
        self._measuring.at(self._done, inner, known)
        self._done += 1

    def _reference(self) -> Reference:
        prepared, spec = self._prepared, self._spec
        if prepared.columns is not None:
            rows, labels = prepared.columns.rows, prepared.planted.labels
            return Reference(self._train.trace, labels[rows], columns=rows, weights=prepared.columns.weights)
        if self._known is None:
            raise ValueError("neither columns nor a reference")
        trusted = spec.reference is not None and spec.reference.is_trusted
        return Reference(self._known.trace, prepared.reference_labels, trusted=trusted)


def _network(model: nn.Module, last: nn.Linear, spec: JobSpec) -> Network | None:
    influence = spec.influence
    if influence.layers == "last" and influence.estimator == "tracin":
        return None
    try:
        names = layer_names(model, last, influence.layers)
    except UncoveredLayer as error:
        raise Invalid(str(error), errors=[FieldError(loc=["influence", "layers"], msg=str(error))]) from error
    projection = None if influence.estimator == "tracin" else Projection(influence.dimension, spec.training.seed)
    return Network(model, names, projection)


def _chosen(network: Network, prepared: Prepared) -> Chosen:
    train = ChosenLayers(network, prepared.inputs)
    if prepared.columns is None:
        reference = ChosenLayers(network, prepared.reference_inputs)
        return Chosen(train, reference, reference)
    return Chosen(train, None, ChosenLayers(network, [part[prepared.columns.rows] for part in prepared.inputs]))


def _leaves_cores_idle(spec: JobSpec, model: nn.Module) -> bool:
    known = MODELS[spec.model.name]
    step = spec.training.batch_size * sum(parameter.numel() for parameter in model.parameters())
    return known.cost == "low" and known.modality != "image" and step <= _SMALL_STEP


def rank(prepared: Prepared, spec: JobSpec, scored: Scored, dataset: Canonical) -> Outcome:
    """Turn measurements into signals, verdicts, suggestions and evidence."""
    # Many short steps, which a second thread only delays, the more so on busy cores.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _rank(prepared, spec, scored, dataset)
    finally:
        torch.set_num_threads(threads)


def _rank(prepared: Prepared, spec: JobSpec, scored: Scored, dataset: Canonical) -> Outcome:
    m = scored.measurements
    labels = prepared.planted.labels
    signals = compute(m, list(dict.fromkeys([*HEADLINES, *spec.signals])))
    generator = torch.Generator().manual_seed(spec.training.seed)
    verdicts = decide(m, signals["mislabeled"], signals["anomalous"], generator)
    signals["mislabeled"] = around_cut(signals["mislabeled"], verdicts.mislabeled)
    suggested, confidence = suggest(m.dynamics.early, m.votes, labels, verdicts.mislabeled)
    columns = _columns(prepared, dataset, verdicts, suggested, confidence)
    summaries = summarise(signals, prepared.planted.kinds)
    best = ranking(summaries)
    summaries["groups"] = {"groups": [_group(group, prepared) for group in m.groups]}
    proposed = proposals(m.features, labels, len(prepared.classes), generator)
    summaries["ranking"] = {"by_kind": best}
    summaries["proposals"] = _proposals(proposed, prepared)
    suspects = strongest_suspects([signals[name] for name in HEADLINES], verdicts.mislabeled | verdicts.anomalous)
    train_accuracy = _accuracy(scored.train.logits[-1], labels)
    return Outcome(
        table=pa.table({**columns, **{name: scores.double().numpy() for name, scores in signals.items()}}),
        summaries=summaries,
        evidence={**_evidence(prepared, m), **_witnesses(prepared, scored, suspects, suggested[suspects], generator)},
        result={
            "samples": len(labels),
            "model": {
                "name": spec.model.name,
                "train_accuracy": train_accuracy,
                "reference_accuracy": scored.reference_accuracy,
            },
            "estimates": {
                "mislabeled": vars(verdicts.mislabeled_estimate),
                "anomalous": vars(verdicts.anomalous_estimate),
            },
            "signals": list(signals),
            "warnings": [
                warning.model_dump() for warning in _warnings(prepared, m, train_accuracy, verdicts.mislabeled_estimate)
            ],
        },
    )


def _accuracy(logits: Tensor, labels: Tensor) -> float | None:
    return float((logits.argmax(1) == labels).double().mean()) if len(labels) else None


def _columns(
    prepared: Prepared, dataset: Canonical, verdicts: Verdicts, suggested: Tensor, confidence: Tensor
) -> dict[str, Any]:
    rows = prepared.rows.tolist()
    verdict = np.full(len(rows), "clean", dtype=object)
    verdict[verdicts.mislabeled.numpy()] = "mislabeled"
    verdict[verdicts.anomalous.numpy()] = "anomalous"
    classes = np.array(prepared.classes, dtype=object)
    touched = prepared.planted.touched.numpy()
    return {
        "index": dataset.index[prepared.rows].numpy(),
        "position": prepared.rows.numpy(),
        "sample_id": pa.array([dataset.ids[row] for row in rows], pa.string()),
        "given_label": pa.array(classes[prepared.planted.labels.numpy()], pa.string()),
        "suggested_label": pa.array(classes[suggested.numpy()], pa.string()),
        "suggested_confidence": confidence.double().numpy(),
        "verdict": pa.array(verdict, pa.string()),
        "planted_kind": pa.array(prepared.planted.kinds, pa.string()),
        "planted_label": pa.array(np.where(touched, classes[prepared.original.numpy()], None), pa.string()),
    }


def _evidence(prepared: Prepared, m: Measurements) -> dict[str, np.ndarray[Any, Any]]:
    kept = min(_CLASSES_KEPT, len(prepared.classes))
    # The given class first, then those that the sample hurts most.
    order = m.class_influence.sum(0).scatter(1, m.labels[:, None], -torch.inf).topk(kept, dim=1, largest=False).indices
    chosen = order[None].expand(len(m.class_influence), -1, -1)
    source = prepared.reference_rows if prepared.columns is None else prepared.rows[prepared.columns.rows]
    arrays = {
        "positions": prepared.rows,
        "loss": m.dynamics.loss.T,
        "margin": m.dynamics.margin.T,
        "self_influence": m.self_influence.T,
        "classes": order.int(),
        "class_influence": m.class_influence.gather(2, chosen).transpose(0, 1),
        "supporting_values": m.pairs.positive.values,
        "opposing_values": -m.pairs.negative.values,
    }
    for name, side in (("supporting", m.pairs.positive), ("opposing", m.pairs.negative)):
        arrays[name] = torch.where(side.strongest >= 0, source[side.strongest.clamp(min=0)], -1)
    return {name: np.ascontiguousarray(array.numpy()) for name, array in arrays.items()}


def _witnesses(
    prepared: Prepared,
    scored: Scored,
    suspects: Int[Tensor, " w"],
    suggested: Int[Tensor, " w"],
    generator: torch.Generator,
) -> dict[str, np.ndarray[Any, Any]]:
    labels = prepared.planted.labels
    if scored.reference is None:
        pool, source = training_pool(scored.train, labels, len(prepared.classes), generator), prepared.rows
    else:
        pool, source = reference_pool(scored.reference, prepared.reference_labels), prepared.reference_rows
    heard = witnesses(scored.train, labels, suspects, suggested, pool)
    arrays = {
        "suspect_positions": prepared.rows[suspects],
        "suspect_class": suggested.int(),
        "suspect_looked_at": heard.looked_at.int(),
        "suspect_against": heard.against.int(),
    }
    for name, side in (("supporting", heard.supporting), ("opposing", heard.opposing)):
        arrays[f"suspect_{name}"] = _positions(source, side.rows)
        arrays[f"suspect_{name}_values"] = side.by_checkpoint
    return {name: np.ascontiguousarray(array.numpy()) for name, array in arrays.items()}


def _positions(source: Int[Tensor, " m"], rows: Int[Tensor, "w s"]) -> Int[Tensor, "w s"]:
    # Minus one, which stands for nobody, must not be taken for the last row.
    found = torch.full_like(rows, -1)
    found[rows >= 0] = source[rows[rows >= 0]]
    return found


def _proposals(found: list[Proposal], prepared: Prepared) -> dict[str, Any]:
    return {
        "positions": prepared.rows[torch.tensor([one.row for one in found])].tolist(),
        "turns": [one.turn for one in found],
        "closer": [one.closer for one in found],
        "among": [one.among for one in found],
    }


def _group(group: Group, prepared: Prepared) -> dict[str, Any]:
    return {
        "label": prepared.classes[group.label],
        "size": len(group.members),
        "separation": group.separation,
        "gap": group.gap,
        "positions": prepared.rows[torch.tensor(group.rows)].tolist(),
    }


def _warnings(prepared: Prepared, m: Measurements, train_accuracy: float | None, wrong: Estimate) -> list[Warning]:
    found: list[Warning] = []
    if m.trusted is None:
        found.append(
            Warning(
                code="no_trusted_reference",
                detail="`anomalous` compares each sample with its own label only, and nothing gets the verdict "
                "anomalous. Anomalies that form a cluster under one label rank high only where they stand clearly "
                "apart from the rest of it (GET /jobs/{id}/groups lists such groups); scattered ones near the data do "
                "not. About 50 verified samples in reference.samples already help the ranking, 150 allow verdicts; "
                "GET /jobs/{id}/verify-next proposes them.",
            )
        )
    elif len(m.trusted.labels) < TRUSTED_ROWS:
        found.append(
            Warning(
                code="small_trusted_reference",
                detail=f"{len(m.trusted.labels)} verified samples rank anomalies, but are too few to count them: "
                f"nothing gets the verdict anomalous below {TRUSTED_ROWS}.",
            )
        )
    if wrong.high > _UNTOLD * max(len(m.labels), 1) and not wrong.low:
        found.append(
            Warning(
                code="rough_estimate",
                detail="how many labels are wrong is a guess: the classes overlap, and nothing verified tells how much. "
                f"With {TRUSTED_ROWS} verified samples or more in the reference the number is measured.",
            )
        )
    if prepared.columns is not None and len(prepared.columns.rows) < len(m.labels):
        found.append(
            Warning(
                code="reference_sampled",
                detail=f"the training set is its own reference; signals of cost `pairs` are estimated on "
                f"{len(prepared.columns.rows)} of its {len(m.labels)} rows, drawn from every class. Set "
                f"influence.columns to {len(m.labels)} for the exact sums.",
            )
        )
    early = m.dynamics.margin[: early_checkpoints(len(m.dynamics.margin))] > 0
    share = float(early.float().mean())
    commonest = float(m.labels.bincount().max()) / len(m.labels)
    if train_accuracy is not None and share < commonest + 0.25 * (train_accuracy - commonest):
        found.append(
            Warning(
                code="slow_start",
                detail=f"in the early epochs the model was right on {share:.0%} of the samples, at the end on "
                f"{train_accuracy:.0%}: early signals are mostly noise. Raise training.learning_rate or epochs.",
            )
        )
    rare = [
        name
        for name, size in zip(prepared.classes, m.labels.bincount(minlength=len(prepared.classes)), strict=True)
        if size < 5
    ]
    if rare:
        found.append(
            Warning(
                code="rare_class",
                detail=f"fewer than 5 samples to learn from, so their scores say little: {', '.join(rare[:20])}",
            )
        )
    return found
