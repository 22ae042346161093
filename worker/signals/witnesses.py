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

from worker.influence.factors import Trace, errors

_SUSPECTS = 200
_POOL = 1_000
_STRONGEST = 5
_SIMILAR = 50
_BLOCK = 1024
_GATHERED = 32  # suspects whose few pairs are computed together


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
    nobody = features.new_empty(len(suspects), 0), suspects.new_empty(len(suspects), 0)
    supporting, opposing, similar = nobody, nobody, nobody
    for rows in torch.split(pool.rows, block):
        itself = (rows == suspects[:, None]) & pool.own
        total = _total(accused, given, pool, rows).masked_fill_(itself, 0)
        cosines = features @ normalize(pool.trace.activations[-1, rows]).T
        cosines.masked_fill_((pool.labels[rows] != suggested[:, None]) | itself, -torch.inf)
        supporting = _keep(supporting, total, rows, _STRONGEST)
        opposing = _keep(opposing, -total, rows, _STRONGEST)
        similar = _keep(similar, cosines, rows, _SIMILAR)
    found = similar[0] > -torch.inf
    against = (_pairs(accused, given, pool, similar[1]) < 0) & found[:, :, None]
    return Witnesses(
        _testimony(_pairs(accused, given, pool, supporting[1]), supporting[1], 1),
        _testimony(_pairs(accused, given, pool, opposing[1]), opposing[1], -1),
        found.sum(1),
        against.sum(1),
    )


def _total(accused: Trace, given: Int[Tensor, " w"], pool: Pool, rows: Int[Tensor, " b"]) -> Float[Tensor, "w b"]:
    total = accused.logits.new_zeros(len(given), len(rows))
    for t, rate in enumerate(accused.rates):
        delta = rate * errors(pool.trace.logits[t, rows], pool.labels[rows])
        inner = accused.activations[t] @ pool.trace.activations[t, rows].T
        total.addcmul_(inner.add_(1), errors(accused.logits[t], given) @ delta.T)
    return total


def _keep(
    best: tuple[Float[Tensor, "w k"], Int[Tensor, "w k"]],
    values: Float[Tensor, "w b"],
    rows: Int[Tensor, " b"],
    most: int,
) -> tuple[Float[Tensor, "w l"], Int[Tensor, "w l"]]:
    # The block is narrowed first: merging whole blocks would copy them.
    top = values.topk(min(most, len(rows)), dim=1)
    merged = torch.cat([best[0], top.values], 1)
    kept = merged.topk(min(most, merged.shape[1]), dim=1)
    return kept.values, torch.cat([best[1], rows[top.indices]], 1).gather(1, kept.indices)


def _pairs(accused: Trace, given: Int[Tensor, " w"], pool: Pool, rows: Int[Tensor, "w k"]) -> Float[Tensor, "w k t"]:
    found = accused.logits.new_empty(*rows.shape, len(accused.rates))
    for start in range(0, len(rows), _GATHERED):
        part = slice(start, start + _GATHERED)
        asked = rows[part]
        for t, rate in enumerate(accused.rates):
            delta = errors(pool.trace.logits[t, asked.flatten()], pool.labels[asked.flatten()])
            own = errors(accused.logits[t, part], given[part])
            inner = torch.einsum("wd,wkd->wk", accused.activations[t, part], pool.trace.activations[t, asked])
            aligned = torch.einsum("wc,wkc->wk", own, delta.view(*asked.shape, delta.shape[1]))
            found[part, :, t] = rate * aligned * (inner + 1)
    return found


def _testimony(pairs: Float[Tensor, "w s t"], rows: Int[Tensor, "w s"], sign: int) -> Testimony:
    # Their sums are what is served, so they are what decides, whatever the rounding of the search was.
    sums = sign * pairs.double().sum(2)
    order = sums.argsort(dim=1, descending=True, stable=True)
    there = sums.gather(1, order) > 0
    by_checkpoint = pairs.gather(1, order[:, :, None].expand_as(pairs))
    return Testimony(torch.where(there, rows.gather(1, order), -1), torch.where(there[:, :, None], by_checkpoint, 0.0))
