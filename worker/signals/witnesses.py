"""Which samples speak for and against the strongest suspects, at every checkpoint, exactly.

A suspect's influence on a witness is that of the last layer, `eta_t (delta_i . delta_j)(a_i . a_j + 1)` at checkpoint
t. Witnesses come block by block, so memory does not grow with their number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from worker.influence.activations import Trace, logit_errors

_SUSPECTS = 200
_POOL = 1_000
_STRONGEST = 5
_SIMILAR = 50
_BLOCK = 1024


@dataclass(frozen=True)
class Pool:
    """Who may testify: `rows` of a trace, and the labels of all its samples. `own`: it is the suspects' trace too."""

    trace: Trace
    labels: Int[Tensor, " m"]
    rows: Int[Tensor, " p"]
    own: bool


@dataclass(frozen=True)
class Testimony:
    """The strongest of one side, strongest first: rows of the pool's trace, -1 where there is none (influence 0)."""

    rows: Int[Tensor, "w s"]
    by_checkpoint: Float[Tensor, "w s t"]


@dataclass(frozen=True)
class Witnesses:
    """`against`: at each checkpoint, how many of the `looked_at` most similar rows of a class the suspect hurts."""

    supporting: Testimony
    opposing: Testimony
    looked_at: Int[Tensor, " w"]
    against: Int[Tensor, "w t"]


def strongest_suspects(
    scores: Sequence[Float[Tensor, " n"]], flagged: Bool[Tensor, " n"], limit: int = _SUSPECTS
) -> Int[Tensor, " w"]:
    """At most `limit` rows, ascending: the flagged ones first of all, and among equals those nearest to any top."""
    ranks = [score.argsort(descending=True, stable=True).argsort() for score in scores]
    place = torch.stack(ranks).amin(0) + len(flagged) * ~flagged
    return place.argsort(stable=True)[:limit].sort().values


def reference_pool(trace: Trace, labels: Int[Tensor, " m"]) -> Pool:
    """A reference of its own testifies whole."""
    return Pool(trace, labels, torch.arange(len(labels)), own=False)


def training_pool(
    trace: Trace, labels: Int[Tensor, " n"], classes: int, generator: torch.Generator, limit: int = _POOL
) -> Pool:
    """The training rows themselves: all of them, or of more than `limit` the same number of every class."""
    if len(labels) <= limit:
        return Pool(trace, labels, torch.arange(len(labels)), own=True)
    drawn: list[Tensor] = []
    for label in range(classes):
        members = (labels == label).nonzero().squeeze(1)
        drawn.append(members[torch.randperm(len(members), generator=generator)[: max(1, limit // classes)]])
    return Pool(trace, labels, torch.cat(drawn).sort().values, own=True)


def witnesses(
    train: Trace,
    labels: Int[Tensor, " n"],
    suspects: Int[Tensor, " w"],
    suggested: Int[Tensor, " w"],
    pool: Pool,
    block: int = _BLOCK,
) -> Witnesses:
    """Hear the pool on every suspect, which is never its own witness; `suggested` is the class that is looked at."""
    accused, given = train.rows(suspects), labels[suspects]
    features = normalize(accused.activations[-1])
    supporting, opposing, similar = (_Best.empty(len(suspects), len(accused.rates)) for _ in range(3))
    for rows in torch.split(pool.rows, block):
        itself = (rows == suspects[:, None]) & pool.own
        by_checkpoint = _influence(accused, given, pool, rows).masked_fill_(itself[:, :, None], 0)
        total = by_checkpoint.sum(2)
        cosines = features @ normalize(pool.trace.activations[-1, rows]).T
        cosines.masked_fill_((pool.labels[rows] != suggested[:, None]) | itself, -torch.inf)
        supporting = supporting.merge(total, rows, by_checkpoint, _STRONGEST)
        opposing = opposing.merge(-total, rows, by_checkpoint, _STRONGEST)
        similar = similar.merge(cosines, rows, by_checkpoint, _SIMILAR)
    found = similar.values > -torch.inf
    against = (similar.by_checkpoint < 0) & found[:, :, None]
    return Witnesses(
        _testimony(supporting.by_checkpoint, supporting.rows, 1),
        _testimony(opposing.by_checkpoint, opposing.rows, -1),
        found.sum(1),
        against.sum(1),
    )


def _influence(accused: Trace, given: Int[Tensor, " w"], pool: Pool, rows: Int[Tensor, " b"]) -> Float[Tensor, "w b t"]:
    found = accused.logits.new_empty(len(accused.rates), len(given), len(rows))
    for t, rate in enumerate(accused.rates):
        delta = rate * logit_errors(pool.trace.logits[t, rows], pool.labels[rows])
        torch.mm(accused.activations[t], pool.trace.activations[t, rows].T, out=found[t])
        found[t].add_(1).mul_(logit_errors(accused.logits[t], given) @ delta.T)
    return found.permute(1, 2, 0)


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
        """With a block more; it is narrowed first: merging whole blocks would copy them."""
        top = values.topk(min(most, len(rows)), dim=1)
        merged = torch.cat([self.values, top.values], 1)
        kept = merged.topk(min(most, merged.shape[1]), dim=1)
        heard = torch.cat([self.by_checkpoint, _take(by_checkpoint, top.indices)], 1)
        return _Best(
            kept.values,
            torch.cat([self.rows, rows[top.indices]], 1).gather(1, kept.indices),
            _take(heard, kept.indices),
        )


def _take(by_checkpoint: Float[Tensor, "w b t"], places: Int[Tensor, "w k"]) -> Float[Tensor, "w k t"]:
    return by_checkpoint[torch.arange(len(places))[:, None], places]


def _testimony(pairs: Float[Tensor, "w s t"], rows: Int[Tensor, "w s"], sign: int) -> Testimony:
    # Their sums are what is served, so they are what decides, whatever the rounding of the search was.
    sums = sign * pairs.double().sum(2)
    order = sums.argsort(dim=1, descending=True, stable=True)
    there = sums.gather(1, order) > 0
    by_checkpoint = pairs.gather(1, order[:, :, None].expand_as(pairs))
    return Testimony(torch.where(there, rows.gather(1, order), -1), torch.where(there[:, :, None], by_checkpoint, 0.0))
