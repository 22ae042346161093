"""Density of training gradients around that of a sample, relative to those of a reference, by direction alone."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.activations import Trace, logit_errors
from worker.influence.gradient_sources import Rows
from worker.influence.gradients import Outer
from worker.influence.row_computations import ranges
from worker.influence.tracin import gradient_norms
from worker.machine.devices import CPU
from worker.signals.sample_groups import SampleGroups, together

_WIDTH = 0.1
_COLUMNS = 600  # training rows, drawn, that stand for all
_BLOCK = 1_024


def influence_density(
    train: Trace,
    labels: Int[Tensor, " n"],
    reference: Trace,
    reference_labels: Int[Tensor, " m"],
    t: int,
    generator: torch.Generator,
    groups: SampleGroups | None = None,
    own: Int[Tensor, " n"] | None = None,
    rows: slice | None = None,
) -> Float[Tensor, " b"]:
    """`log mean_{j in train, j != i} exp((cos(g_i, g_j) - 1) / 0.1)` minus the same over the reference, at checkpoint t.

    Of all i, or of some `rows`. g: gradients of the last layer. Samples of i's group are left out, and i itself (`own`: its place in
    the reference, -1 for none). Range: [-20, 20]; higher = more crowded than in the reference; 0 where either side has no sample of
    another group.
    """
    drawn = torch.randperm(len(labels), generator=generator, device=CPU)[:_COLUMNS].to(labels.device)
    columns = _Directions.of(train, t, labels, drawn)
    known = _Directions.of(reference, t, reference_labels, slice(None))
    place = torch.full((len(labels),), -1, dtype=torch.int64)
    place[drawn] = torch.arange(len(drawn))
    found = []
    for part in ranges(slice(0, len(labels)) if rows is None else rows, _BLOCK):
        directions = _Directions.of(train, t, labels, part)
        near = (directions.cosines(columns) - 1) / _WIDTH
        inside = (place[part] >= 0).nonzero().squeeze(1)
        near[inside, place[part][inside]] = -torch.inf
        others = len(drawn) - (place[part] >= 0).long()
        if groups is not None:
            related = together(groups.train[part], groups.train[drawn])
            near.masked_fill_(related, -torch.inf)
            others = len(drawn) - related.sum(1)
        within = torch.logsumexp(near, 1) - others.clamp(min=1).log()
        far = (directions.cosines(known) - 1) / _WIDTH
        if own is not None:
            inside = (own[part] >= 0).nonzero().squeeze(1)
            far[inside, own[part][inside]] = -torch.inf
        if groups is None and own is not None:
            beyond = torch.logsumexp(far, 1) - (len(reference_labels) - (own[part] >= 0).long()).log()
        elif groups is None:
            beyond = torch.logsumexp(far, 1) - math.log(len(reference_labels))
        else:
            unrelated = ~together(groups.train[part], groups.reference)
            beyond = torch.logsumexp(far.masked_fill_(~unrelated, -torch.inf), 1) - unrelated.sum(1).log()
        found.append(within - beyond)
    result = torch.cat(found)
    # A training set of one row has no other row to be near.
    return torch.where(torch.isfinite(result), result, torch.zeros_like(result))


@dataclass(frozen=True)
class _Directions:
    """Gradients of the last layer, scaled to length 1, as outer products of `delta` and `inputs`."""

    inputs: Float[Tensor, "n d"]
    delta: Float[Tensor, "n c"]

    @classmethod
    def of(cls, trace: Trace, t: int, labels: Int[Tensor, " n"], rows: Rows) -> "_Directions":
        delta = logit_errors(trace.logits[t, rows], labels[rows])
        inputs = trace.inputs(t, rows)
        norm = gradient_norms([Outer(inputs, delta)])
        # A gradient of zero, which a layer without bias may have, has no direction: its cosines are 0.
        delta = delta * (norm > 0)[:, None]
        return cls(inputs, delta / norm.clamp(min=torch.finfo(torch.float32).tiny)[:, None])

    def cosines(self, others: "_Directions") -> Float[Tensor, "n m"]:
        return (self.inputs @ others.inputs.T).mul_(self.delta @ others.delta.T)
