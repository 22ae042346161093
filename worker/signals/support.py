"""Support of a sample by similar samples: a mean of the largest cosines. Lower = more suspicious.

Unlike influence, it does not vanish once the sample is fitted.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from worker.influence.row_computations import ranges
from worker.machine.devices import CPU
from worker.signals.sample_groups import SampleGroups, together

_BLOCK = 1024
_NEAREST = 10
_COLUMNS = 128  # rows, drawn, of each label: the mean over half of a label needs no more


def reference_support(
    activations: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    reference: Float[Tensor, "m d"],
    reference_labels: Int[Tensor, " m"],
    groups: SampleGroups | None = None,
    own: Int[Tensor, " n"] | None = None,
    rows: slice | None = None,
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Means of the 10 largest cosines, in [-1, 1]: with reference samples of the same label, and with those of any label.

    Of all samples, or of some `rows`. Reference samples of the sample's group are left out, and the one that it is itself (`own`,
    -1 for none). A sample whose label no reference sample has gets -1 for the first.
    """
    columns = normalize(reference)
    wanted = slice(0, len(labels)) if rows is None else rows
    found_same, found_every = [], []
    for part in ranges(wanted, _BLOCK):
        cosines = normalize(activations[part]) @ columns.T
        if groups is not None:
            cosines.masked_fill_(together(groups.train[part], groups.reference), -torch.inf)
        if own is not None:
            inside = (own[part] >= 0).nonzero().squeeze(1)
            cosines[inside, own[part][inside]] = -torch.inf
        found_every.append(_mean_of_largest(cosines, _NEAREST))
        cosines.masked_fill_(labels[part, None] != reference_labels[None, :], -torch.inf)
        found_same.append(_mean_of_largest(cosines, _NEAREST))
    return torch.cat(found_same), torch.cat(found_every)


def own_label_support(
    rows: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    classes: int,
    generator: torch.Generator,
    groups: Int[Tensor, " n"] | None = None,
) -> Float[Tensor, " n"]:
    """Mean cosine, in [-1, 1], with the nearer half of the sample's own label, itself and its group left out.

    `rows` have length 1. Of a label with more than 128 rows, 128 drawn at random stand for all. A sample alone in its label
    has -1.
    """
    result = torch.full((len(rows),), -1.0)
    for label in range(classes):
        members = (labels == label).nonzero().squeeze(1)
        if len(members) < 2:
            continue
        drawn = torch.randperm(len(members), generator=generator, device=CPU)[:_COLUMNS].to(rows.device)
        cosines = rows[members] @ rows[members[drawn]].T
        cosines[drawn, torch.arange(len(drawn))] = -torch.inf
        if groups is None:
            result[members] = _mean_of_largest(cosines, max(1, len(drawn) // 2))
        else:
            cosines.masked_fill_(together(groups[members], groups[members[drawn]]), -torch.inf)
            itself = torch.zeros(len(members)).index_fill_(0, drawn, 1)
            result[members] = _mean_of_nearer_half(cosines, itself)
    return result


def _mean_of_nearer_half(cosines: Float[Tensor, "b m"], itself: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Mean of the nearer half of those that are not left out, among whom `itself` counts 1 where the row was drawn."""
    there = (cosines > -torch.inf).sum(1)
    half = ((there + itself) // 2).clamp(min=1)
    ordered = cosines.sort(1, descending=True).values
    nearer = torch.arange(cosines.shape[1]) < half[:, None]
    total = ordered.masked_fill(~nearer, 0).sum(1)
    return torch.where(there > 0, total / half, -1.0)


def _mean_of_largest(cosines: Float[Tensor, "b m"], count: int) -> Float[Tensor, " b"]:
    top = cosines.topk(min(count, cosines.shape[1]), dim=1, sorted=False).values
    there: Bool[Tensor, "b k"] = top > -torch.inf
    total = top.masked_fill(~there, 0).sum(1)
    return torch.where(there.any(1), total / there.sum(1).clamp(min=1), -1.0)
