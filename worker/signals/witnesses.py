"""Witnesses of the strongest suspects: samples that they support or oppose most, at every checkpoint.

Influence of a suspect on a witness is that of the last layer, `eta_t (delta_i . delta_j)(a_i . a_j + 1)` at checkpoint t,
or that of the leaves of trees, in units of loss. Witnesses are processed block by block, so memory does not grow with their number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from worker.influence.activations import Trace, logit_errors
from worker.influence.gradient_sources import GradientSource
from worker.influence.gradients import dots
from worker.signals.reference import Chosen
from worker.signals.sample_groups import together

_SUSPECTS = 200
_POOL = 1_000
_STRONGEST = 5
_SIMILAR = 50
_BLOCK = 1024


@dataclass(frozen=True)
class WitnessPool:
    """Possible witnesses: `rows` of a trace, and the labels of all its samples. `own`: the suspects are of this trace.

    `groups`: numbers of the groups of all its samples.
    """

    trace: Trace
    labels: Int[Tensor, " m"]
    rows: Int[Tensor, " p"]
    own: bool
    groups: Int[Tensor, " m"] | None = None


@dataclass(frozen=True)
class StrongestWitnesses:
    """The 5 strongest witnesses of one sign, strongest first: rows of the pool's trace, -1 (influence 0) for none."""

    rows: Int[Tensor, "w s"]
    by_checkpoint: Float[Tensor, "w s t"]


@dataclass(frozen=True)
class Witnesses:
    """`against`: of how many of the `looked_at` most similar samples of a class the suspect raised the loss, by checkpoint."""

    supporting: StrongestWitnesses
    opposing: StrongestWitnesses
    looked_at: Int[Tensor, " w"]
    against: Int[Tensor, "w t"]


def strongest_suspects(
    scores: Sequence[Float[Tensor, " n"]], flagged: Bool[Tensor, " n"], limit: int = _SUSPECTS
) -> Int[Tensor, " w"]:
    """At most `limit` rows, ascending: flagged ones first, then by the best rank in any of the scores."""
    ranks = [score.argsort(descending=True, stable=True).argsort() for score in scores]
    place = torch.stack(ranks).amin(0) + len(flagged) * ~flagged
    return place.argsort(stable=True)[:limit].sort().values


def reference_pool(trace: Trace, labels: Int[Tensor, " m"]) -> WitnessPool:
    """All samples of a reference of its own."""
    return WitnessPool(trace, labels, torch.arange(len(labels)), own=False)


def training_pool(
    trace: Trace, labels: Int[Tensor, " n"], classes: int, generator: torch.Generator, limit: int = _POOL
) -> WitnessPool:
    """The training rows: all of them, or, of more than `limit`, the same number of every class."""
    if len(labels) <= limit:
        return WitnessPool(trace, labels, torch.arange(len(labels)), own=True)
    drawn: list[Tensor] = []
    for label in range(classes):
        members = (labels == label).nonzero().squeeze(1)
        drawn.append(members[torch.randperm(len(members), generator=generator)[: max(1, limit // classes)]])
    return WitnessPool(trace, labels, torch.cat(drawn).sort().values, own=True)


def witnesses(
    train: Trace,
    labels: Int[Tensor, " n"],
    suspects: Int[Tensor, " w"],
    suggested: Int[Tensor, " w"],
    pool: WitnessPool,
    block: int = _BLOCK,
    groups: Int[Tensor, " n"] | None = None,
    by_leaves: Chosen | None = None,
) -> Witnesses:
    """Find the witnesses of every suspect, which is never its own, nor is one of its group, of the numbers `groups`.

    `suggested` is the class of the similar samples. `by_leaves`: influence is that of trees, and not of the last layer.
    """
    suspects_trace, given = train.rows(suspects), labels[suspects]
    features = normalize(suspects_trace.activations[-1])
    supporting, opposing, similar = (_Best.empty(len(suspects), len(suspects_trace.rates)) for _ in range(3))
    for rows in torch.split(pool.rows, block):
        itself = (rows == suspects[:, None]) & pool.own
        if groups is not None and pool.groups is not None:
            itself |= together(groups[suspects], pool.groups[rows])
        if by_leaves is None or by_leaves.reference is None:
            by_checkpoint = _influence(suspects_trace, given, pool, rows)
        else:
            sides = (by_leaves.train, by_leaves.reference)
            by_checkpoint = _influence_by_leaves(*sides, suspects, given, pool, rows)
        by_checkpoint.masked_fill_(itself[:, :, None], 0)
        total = by_checkpoint.sum(2)
        cosines = features @ normalize(pool.trace.activations[-1, rows]).T
        cosines.masked_fill_((pool.labels[rows] != suggested[:, None]) | itself, -torch.inf)
        supporting = supporting.merge(total, rows, by_checkpoint, _STRONGEST)
        opposing = opposing.merge(-total, rows, by_checkpoint, _STRONGEST)
        similar = similar.merge(cosines, rows, by_checkpoint, _SIMILAR)
    found = similar.values > -torch.inf
    against = (similar.by_checkpoint < 0) & found[:, :, None]
    return Witnesses(
        _strongest(supporting.by_checkpoint, supporting.rows, 1),
        _strongest(opposing.by_checkpoint, opposing.rows, -1),
        found.sum(1),
        against.sum(1),
    )


def _influence(
    suspects_trace: Trace, given: Int[Tensor, " w"], pool: WitnessPool, rows: Int[Tensor, " b"]
) -> Float[Tensor, "w b t"]:
    found = suspects_trace.logits.new_empty(len(suspects_trace.rates), len(given), len(rows))
    for t, rate in enumerate(suspects_trace.rates):
        delta = rate * logit_errors(pool.trace.logits[t, rows], pool.labels[rows])
        torch.mm(suspects_trace.activations[t], pool.trace.activations[t, rows].T, out=found[t])
        found[t].add_(float(suspects_trace.bias)).mul_(logit_errors(suspects_trace.logits[t], given) @ delta.T)
    return found.permute(1, 2, 0)


def _influence_by_leaves(
    train: GradientSource,
    reference: GradientSource,
    suspects: Int[Tensor, " w"],
    given: Int[Tensor, " w"],
    pool: WitnessPool,
    rows: Int[Tensor, " b"],
) -> Float[Tensor, "w b t"]:
    found = [
        rate * dots(train.gradients(t, suspects, given)[0], reference.gradients(t, rows, pool.labels[rows])[0])
        for t, rate in enumerate(pool.trace.rates)
    ]
    return torch.stack(found, 2)


@dataclass(frozen=True)
class _Best:
    """The rows with the highest values so far, highest first, and their influence."""

    values: Float[Tensor, "w k"]
    rows: Int[Tensor, "w k"]
    by_checkpoint: Float[Tensor, "w k t"]

    @classmethod
    def empty(cls, suspects: int, checkpoints: int) -> "_Best":
        none = torch.empty(suspects, 0)
        return cls(none, none.long(), torch.empty(suspects, 0, checkpoints))

    def merge(
        self,
        values: Float[Tensor, "w b"],
        rows: Int[Tensor, " b"],
        by_checkpoint: Float[Tensor, "w b t"],
        most: int,
    ) -> "_Best":
        """Add a block, of which only the highest are copied."""
        top = values.topk(min(most, len(rows)), dim=1)
        merged = torch.cat([self.values, top.values], 1)
        kept = merged.topk(min(most, merged.shape[1]), dim=1)
        merged_influence = torch.cat([self.by_checkpoint, _take(by_checkpoint, top.indices)], 1)
        return _Best(
            kept.values,
            torch.cat([self.rows, rows[top.indices]], 1).gather(1, kept.indices),
            _take(merged_influence, kept.indices),
        )


def _take(by_checkpoint: Float[Tensor, "w b t"], places: Int[Tensor, "w k"]) -> Float[Tensor, "w k t"]:
    return by_checkpoint[torch.arange(len(places))[:, None], places]


def _strongest(pairs: Float[Tensor, "w s t"], rows: Int[Tensor, "w s"], sign: int) -> StrongestWitnesses:
    # Served are the sums over checkpoints in float64, so these decide, and not the rounded ones of the search.
    sums = sign * pairs.double().sum(2)
    order = sums.argsort(dim=1, descending=True, stable=True)
    there = sums.gather(1, order) > 0
    by_checkpoint = pairs.gather(1, order[:, :, None].expand_as(pairs))
    return StrongestWitnesses(
        torch.where(there, rows.gather(1, order), -1), torch.where(there[:, :, None], by_checkpoint, 0.0)
    )
