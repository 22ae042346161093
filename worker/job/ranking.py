"""Ranking: signals, verdicts, suggestions, evidence and warnings, from the measurements of a job."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from torch import Tensor

from service.domain.confidence import confidence_of
from service.domain.label_part import LabelPart
from service.domain.signal import HEADLINES
from service.domain.specs import JobSpec
from worker.data.canonical import Canonical
from worker.job.estimates import estimate_view
from worker.job.measuring import Scored, accuracy
from worker.job.preparation import JobSamples
from worker.job.warnings import ranking_warnings
from worker.machine.threads import one_thread
from worker.signals.calibration import calibration_of
from worker.signals.candidates import VerificationCandidate, verification_candidates
from worker.signals.confident import label_issue_count
from worker.signals.counts import CountEstimate
from worker.signals.formulas import compute
from worker.signals.groups import LabelGroup, Lean, parts_of_members
from worker.signals.measurements import Answers, Measurements
from worker.signals.sample_map import principal_map, rows_of_umap, umap_is_installed, umap_map
from worker.signals.suggestions import suggest
from worker.signals.summaries import ranking, summarise
from worker.signals.verdicts import Verdicts, decide, rescale_around_cut
from worker.signals.witnesses import reference_pool, strongest_suspects, training_pool, witnesses

_CLASSES_KEPT = 8
Recalibrate = Callable[[Float[Tensor, " n"]], Float[Tensor, " n"]]
_LIKELIER = 0.5  # probability above which a label is more likely wrong than not
_TYPICAL = 50  # samples listed of each part of a label


@dataclass(frozen=True)
class RankingResult:
    """A finished ranking: `table` has the columns of `service.store.tables.suspects`, `evidence` arrays by sample.

    `columns` are further arrays, n rows each in the order of `table` (service.store.ranking_columns). `summaries` describe each
    signal as a whole; `result` is what the API shows of the job.
    """

    table: pa.Table
    columns: dict[str, npt.NDArray[Any]]
    summaries: dict[str, dict[str, Any]]
    evidence: dict[str, npt.NDArray[Any]]
    result: dict[str, Any]


def rank(prepared: JobSamples, spec: JobSpec, scored: Scored, dataset: Canonical) -> RankingResult:
    """Turn measurements into signals, verdicts, suggestions and evidence."""
    with one_thread():
        return _rank(prepared, spec, scored, dataset)


def _rank(prepared: JobSamples, spec: JobSpec, scored: Scored, dataset: Canonical) -> RankingResult:
    m = scored.measurements
    labels = prepared.planted.labels
    generator = torch.Generator().manual_seed(spec.training.seed)
    judged = judge(m, list(dict.fromkeys([*HEADLINES, *spec.signals])), generator)
    signals, verdicts = judged.signals, judged.verdicts
    suggested, wrong = judged.suggested, judged.wrong
    columns = _columns(prepared, dataset, judged)
    summaries = summarise(signals, prepared.planted.kinds)
    summaries["ranking"] = {"by_kind": ranking(summaries)}
    summaries["classes"] = {"held_out_agreement": _held_out_agreement(m, prepared.classes)}
    evidence = _evidence(prepared, m)
    if isinstance(m, Measurements):
        summaries |= _placed(prepared, m, generator)
        suspects = strongest_suspects([signals[name] for name in HEADLINES], verdicts.mislabeled | verdicts.anomalous)
        evidence |= _witnesses(prepared, scored, suspects, suggested[suspects], generator)
    train_accuracy = accuracy(scored.train.logits[-1], labels)
    return RankingResult(
        table=pa.table({**columns, **{name: scores.double().numpy() for name, scores in signals.items()}}),
        columns={
            "wrong": wrong.numpy(),
            **_label_parts(m),
            **_maps(m, dataset.index[prepared.rows], verdicts, signals["mislabeled"], spec),
        },
        summaries=summaries,
        evidence=evidence,
        result={
            "samples": len(labels),
            "model": {
                "name": spec.model.name,
                "learning_rate": spec.training.learning_rate,
                "train_accuracy": train_accuracy,
                "reference_accuracy": scored.reference_accuracy,
            },
            "estimates": {
                "mislabeled": {
                    **estimate_view(verdicts.mislabeled_estimate, len(labels), spec.model.name),
                    **_counted_elsewhere(m),
                },
                "anomalous": estimate_view(verdicts.anomalous_estimate, len(labels), spec.model.name),
            },
            "confidence": confidence_of(dataset.header.modality, calibrated=judged.calibrated, by_reviews=False),
            "signals": list(signals),
            "warnings": [
                warning.model_dump()
                for warning in ranking_warnings(prepared, m, spec, train_accuracy, verdicts.mislabeled_estimate)
            ],
        },
    )


@dataclass(frozen=True)
class Judged:
    """What follows from the measurements for each sample: `wrong` is the probability that its label is wrong.

    `calibrated`: whether that, and the confidence, of flagged samples were brought to what was measured on other jobs.
    """

    signals: dict[str, Float[Tensor, " n"]]
    verdicts: Verdicts
    suggested: Int[Tensor, " n"]
    confidence: Float[Tensor, " n"]
    wrong: Float[Tensor, " n"]
    calibrated: bool

    @property
    def verdict(self) -> npt.NDArray[Any]:
        """Names of the verdicts."""
        names = np.full(len(self.wrong), "clean" if self.verdicts.judged else "not_judged", dtype=object)
        names[self.verdicts.mislabeled.numpy()] = "mislabeled"
        names[self.verdicts.anomalous.numpy()] = "anomalous"
        return names


def judge(
    m: Answers,
    names: list[str],
    generator: torch.Generator,
    counted: CountEstimate | None = None,
    recalibrate: Recalibrate | None = None,
) -> Judged:
    """The named signals, verdicts and suggestions; `counted` is the number of wrong labels where it is known already.

    `recalibrate` gives the probability that each label is wrong by what reviewers said, which falls with the rank by the scores: flagged
    are then those that are more likely wrong than not.
    """
    signals = compute(m, names)
    known = None if recalibrate is None else recalibrate(signals["mislabeled"])
    likely = None if known is None else known > _LIKELIER
    verdicts = decide(m, signals["mislabeled"], signals.get("anomalous"), generator, counted, likely)
    signals["mislabeled"] = rescale_around_cut(signals["mislabeled"], verdicts.mislabeled)
    estimate = verdicts.mislabeled_estimate
    calibration = calibration_of(m, estimate, recalibrated=known is not None)
    suggested = suggest(
        m.dynamics.early,
        m.votes.mean if isinstance(m, Measurements) else m.dynamics.early,
        m.labels,
        verdicts.mislabeled,
        signals["mislabeled"],
        # An unknown count must not make anybody sure: no more errors are assumed than there are at least.
        estimate.count if estimate.doubt is None else estimate.low,
        known,
        calibration,
    )
    return Judged(signals, verdicts, *suggested, calibration is not None)


def _counted_elsewhere(m: Answers) -> dict[str, int]:
    """The confident joint of out-of-sample predictions, a count that users of cleanlab know."""
    return {} if m.unseen is None else {"confident_joint": label_issue_count(m.unseen.train, m.labels)}


def _placed(prepared: JobSamples, m: Measurements, generator: torch.Generator) -> dict[str, dict[str, Any]]:
    """Both parts of each label, and samples that are proposed for verification."""
    proposed = verification_candidates(m.position.features, m.labels, len(prepared.classes), generator)
    return {
        "groups": {"groups": [_group(group, prepared) for group in m.position.groups]},
        "proposals": _proposals(proposed, prepared),
    }


def _held_out_agreement(m: Answers, classes: list[str]) -> dict[str, float]:
    """By class, the share of its samples for which a guess that has not seen their label is that label."""
    guess = held_out_guess(m)
    if guess is None:
        return {}
    sizes = m.labels.bincount(minlength=len(classes))
    right = m.labels[guess == m.labels].bincount(minlength=len(classes))
    return {name: hits / size for name, hits, size in zip(classes, right.tolist(), sizes.tolist(), strict=True) if size}


def held_out_guess(m: Answers) -> Int[Tensor, " n"] | None:
    """The class of each sample by a guess that has not seen its label; None where there is none."""
    if m.unseen is not None:
        return m.unseen.train.argmax(1)
    return m.position.guess.argmax(1) if isinstance(m, Measurements) else None


def _maps(
    m: Answers, index: Int[Tensor, " n"], verdicts: Verdicts, scores: Tensor, spec: JobSpec
) -> dict[str, npt.NDArray[Any]]:
    """Maps of the samples by name; none where no features are known."""
    if not isinstance(m, Measurements):
        return {}
    maps = {"map-pca": principal_map(m.position.features).numpy()}
    if umap_is_installed():
        flagged = (verdicts.mislabeled | verdicts.anomalous).nonzero().squeeze(1)
        suspects = flagged[scores[flagged].argsort(descending=True, stable=True)]
        rows = rows_of_umap(index, m.labels, suspects)
        maps["map-umap"] = umap_map(m.position.features, rows, spec.training.seed).numpy()
    return maps


def _columns(prepared: JobSamples, dataset: Canonical, judged: Judged) -> dict[str, Any]:
    rows = prepared.rows.tolist()
    classes = np.array(prepared.classes, dtype=object)
    touched = prepared.planted.touched.numpy()
    return {
        "index": dataset.index[prepared.rows].numpy(),
        "position": prepared.rows.numpy(),
        "sample_id": pa.array([dataset.ids[row] for row in rows], pa.string()),
        "given_label": pa.array(classes[prepared.planted.labels.numpy()], pa.string()),
        "suggested_label": pa.array(classes[judged.suggested.numpy()], pa.string()),
        "suggested_confidence": judged.confidence.double().numpy(),
        "verdict": pa.array(judged.verdict, pa.string()),
        "planted_kind": pa.array(prepared.planted.kinds, pa.string()),
        "planted_label": pa.array(np.where(touched, classes[prepared.original.numpy()], None), pa.string()),
    }


def _evidence(prepared: JobSamples, m: Answers) -> dict[str, npt.NDArray[Any]]:
    arrays = {"positions": prepared.rows, "loss": m.dynamics.loss.T, "margin": m.dynamics.margin.T}
    if isinstance(m, Measurements):
        arrays |= influence_evidence(prepared, m)
    return {name: np.ascontiguousarray(array.numpy()) for name, array in arrays.items()}


def influence_evidence(prepared: JobSamples, m: Measurements) -> dict[str, Tensor]:
    """Arrays of service.store.evidence on influence, one row a sample: on classes, and of the strongest reference samples."""
    kept = min(_CLASSES_KEPT, len(prepared.classes))
    # The given class first, then those that the sample hurts most.
    order = (
        m.influence.by_class.sum(0).scatter(1, m.labels[:, None], -torch.inf).topk(kept, dim=1, largest=False).indices
    )
    chosen = order[None].expand(len(m.influence.by_class), -1, -1)
    source = prepared.reference_rows if prepared.columns is None else prepared.rows[prepared.columns.rows]
    arrays = {
        "self_influence": m.influence.self_influence.T,
        "classes": order.int(),
        "class_influence": m.influence.by_class.gather(2, chosen).transpose(0, 1),
        "supporting_values": m.pairs.positive.values,
        "opposing_values": -m.pairs.negative.values,
    }
    for name, side in (("supporting", m.pairs.positive), ("opposing", m.pairs.negative)):
        arrays[name] = torch.where(side.strongest >= 0, source[side.strongest.clamp(min=0)], -1)
    return arrays


def _witnesses(
    prepared: JobSamples,
    scored: Scored,
    suspects: Int[Tensor, " w"],
    suggested: Int[Tensor, " w"],
    generator: torch.Generator,
) -> dict[str, npt.NDArray[Any]]:
    labels = prepared.planted.labels
    if scored.reference is None:
        pool, source = training_pool(scored.train, labels, len(prepared.classes), generator), prepared.rows
    else:
        pool, source = reference_pool(scored.reference, prepared.reference_labels), prepared.reference_rows
    own = None
    if prepared.groups is not None:
        own = prepared.groups.train
        pool = replace(pool, groups=own if pool.own else prepared.groups.reference)
    found = witnesses(scored.train, labels, suspects, suggested, pool, groups=own, by_leaves=scored.by_leaves)
    arrays = {
        "suspect_positions": prepared.rows[suspects],
        "suspect_class": suggested.int(),
        "suspect_looked_at": found.looked_at.int(),
        "suspect_against": found.against.int(),
    }
    for name, side in (("supporting", found.supporting), ("opposing", found.opposing)):
        arrays[f"suspect_{name}"] = _positions(source, side.rows)
        arrays[f"suspect_{name}_values"] = side.by_checkpoint
    return {name: np.ascontiguousarray(array.numpy()) for name, array in arrays.items()}


def _positions(source: Int[Tensor, " m"], rows: Int[Tensor, "w s"]) -> Int[Tensor, "w s"]:
    # -1 stands for no sample, and must not become the last row.
    found = torch.full_like(rows, -1)
    found[rows >= 0] = source[rows[rows >= 0]]
    return found


def _proposals(found: list[VerificationCandidate], prepared: JobSamples) -> dict[str, Any]:
    return {
        "positions": prepared.rows[torch.tensor([one.row for one in found])].tolist(),
        "turns": [one.turn for one in found],
        "closer": [one.closer for one in found],
        "among": [one.among for one in found],
    }


def _label_parts(m: Answers) -> dict[str, npt.NDArray[Any]]:
    return {"part": parts_of_members(m.position.groups, len(m.labels)).numpy()} if isinstance(m, Measurements) else {}


def _group(group: LabelGroup, prepared: JobSamples) -> dict[str, Any]:
    return {
        "label": prepared.classes[group.label],
        "size": len(group.members),
        "separation": group.separation,
        "gap": group.gap,
        "positions": prepared.rows[torch.tensor(group.rows)].tolist(),
        "parts": [
            _part("tighter", group.members, group.lean, prepared),
            _part("looser", group.rest, group.rest_lean, prepared),
        ],
    }


def _part(name: LabelPart, members: Int[Tensor, " k"], lean: Lean | None, prepared: JobSamples) -> dict[str, Any]:
    return {
        "part": name,
        "size": len(members),
        "leans_to": None if lean is None else prepared.classes[lean.label],
        "lean": 0.0 if lean is None else lean.share,
        "positions": prepared.rows[members[:_TYPICAL]].tolist(),
    }
