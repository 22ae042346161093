"""The whole computation of a job: canonical datasets in, ranking out. No database, no queue; files only as scratch.

    prepare -> fit -> score -> rank

Every checkpoint that `fit` reaches is handed out, and `fit` goes on from any of them, so that a job survives its
worker: the bits that come out are the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Int
from torch import Tensor, nn

from service.domain.dataset import Warning
from service.domain.signal import HEADLINES
from service.domain.specs import JobSpec
from worker.decode import Canonical, Encoder, Inputs, align
from worker.glitches import Planted, plant
from worker.influence.factors import Trace, record
from worker.models import build, head
from worker.partition import Columns, draw_columns, partition
from worker.signals.formulas import compute
from worker.signals.groups import Group, groups
from worker.signals.measurements import Measurements, Reference, early_checkpoints, measure
from worker.signals.proposals import Proposal, proposals
from worker.signals.summaries import summarise
from worker.signals.verdicts import Verdicts, suggest, with_trusted_reference, without_trusted_reference
from worker.signals.witnesses import reference_pool, strongest_suspects, training_pool, witnesses
from worker.training import EpochMetrics, TrainingState, train

_CLASSES_KEPT = 8
_TRUSTED_ROWS = 150  # fewer give p-values too coarse to flag anything


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
    head: nn.Linear


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
    planted = plant(original, len(dataset.header.classes), spec.glitches or [])
    encoder = Encoder.fit(dataset, part.train, spec.model.params.get("image_size"))
    source, rows = dataset, part.reference
    if reference is not None:
        source = align(reference, dataset)
        rows = torch.arange(len(source.labels))
    serves_itself = spec.reference is None
    model = build(spec.model, encoder.shape, len(dataset.header.classes), spec.training.seed)
    inputs = encoder.encode(dataset, part.train)
    return Prepared(
        rows=part.train,
        inputs=inputs,
        planted=planted,
        original=original,
        reference_rows=rows,
        reference_inputs=tuple(x[:0] for x in inputs) if serves_itself else encoder.encode(source, rows),
        reference_labels=source.labels[rows],
        columns=draw_columns(planted.labels, spec.influence.columns, spec.training.seed) if serves_itself else None,
        classes=dataset.header.classes,
        model=model,
        head=head(model),
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


def score(
    prepared: Prepared,
    spec: JobSpec,
    states: Sequence[Callable[[], dict[str, Tensor]]],
    rates: Sequence[float],
    scratch: Path,
    tell: Callable[[float], None],
) -> Scored:
    """Run the checkpoints over the samples and measure influence, dynamics and neighbours."""
    labels, count = prepared.planted.labels, len(states)
    trace = record(
        prepared.model, prepared.head, prepared.inputs, states, rates, scratch, lambda t: tell(0.5 * (t + 1) / count)
    )
    if prepared.columns is not None:
        rows = prepared.columns.rows
        reference = Reference(trace.rows(rows), labels[rows], columns=rows, weights=prepared.columns.weights)
        known, accuracy = None, None
    else:
        known = record(
            prepared.model,
            prepared.head,
            prepared.reference_inputs,
            states,
            rates,
            scratch / "reference",
            lambda _t: None,
        )
        trusted = spec.reference is not None and spec.reference.is_trusted
        reference = Reference(known, prepared.reference_labels, trusted=trusted)
        accuracy = _accuracy(known.logits[-1], prepared.reference_labels)
    generator = torch.Generator().manual_seed(spec.training.seed)
    measured = measure(
        trace, labels, reference, len(prepared.classes), generator, lambda share: tell(0.5 + 0.5 * share)
    )
    return Scored(measured, trace, known, accuracy)


def rank(prepared: Prepared, spec: JobSpec, scored: Scored, dataset: Canonical) -> Outcome:
    """Turn measurements into signals, verdicts, suggestions and evidence."""
    m = scored.measurements
    labels = prepared.planted.labels
    signals = compute(m, list(dict.fromkeys([*HEADLINES, *spec.signals])))
    verdicts = _verdicts(m, signals["mislabeled"])
    suggested, confidence = suggest(m.dynamics.early, m.votes, labels, verdicts.mislabeled)
    columns = _columns(prepared, dataset, verdicts, suggested, confidence)
    summaries = summarise(signals, prepared.planted.touched if spec.glitches else None)
    generator = torch.Generator().manual_seed(spec.training.seed)
    apart = groups(scored.train.activations[-1], labels, len(prepared.classes), generator)
    summaries["groups"] = {"groups": [_group(group, prepared) for group in apart]}
    proposed = proposals(scored.train.activations[-1], labels, len(prepared.classes), generator)
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
            "warnings": [warning.model_dump() for warning in _warnings(prepared, m, train_accuracy)],
        },
    )


def _accuracy(logits: Tensor, labels: Tensor) -> float | None:
    return float((logits.argmax(1) == labels).double().mean()) if len(labels) else None


def _verdicts(m: Measurements, mislabeled: Tensor) -> Verdicts:
    support = m.support
    if support is None or support.reference_same.shape[1] < _TRUSTED_ROWS:
        return without_trusted_reference(mislabeled, m.dynamics.early, m.dynamics.mean, m.votes, m.labels)
    return with_trusted_reference(
        support.same.mean(0),
        support.every.mean(0),
        support.reference_same.mean(0),
        support.reference_every.mean(0),
        m.dynamics.margin.mean(0),
    )


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
        "size": group.size,
        "separation": group.separation,
        "positions": prepared.rows[torch.tensor(group.rows)].tolist(),
    }


def _warnings(prepared: Prepared, m: Measurements, train_accuracy: float | None) -> list[Warning]:
    found: list[Warning] = []
    if m.support is None:
        found.append(
            Warning(
                code="no_trusted_reference",
                detail="`anomalous` compares each sample with its own label only: anomalies that form a cluster under "
                "one label look normal to it, and nothing gets the verdict anomalous. About 50 verified samples in "
                "reference.samples already help; GET /jobs/{id}/verify-next proposes them.",
            )
        )
    elif m.support.reference_same.shape[1] < _TRUSTED_ROWS:
        found.append(
            Warning(
                code="small_trusted_reference",
                detail=f"{m.support.reference_same.shape[1]} verified samples rank anomalies, but are too few for a "
                f"cut-off: nothing gets the verdict anomalous below {_TRUSTED_ROWS}.",
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
