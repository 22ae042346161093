"""Which samples are called mislabeled or anomalous, how many there are, and which label would be right.

No known contamination is needed. With a trusted reference of 150 samples or more the cut-off is conformal: a training
sample is compared with how well the reference's own samples are supported by each other. Without one, the number of
mislabels is the size of the confident joint (Northcutt et al., arXiv:1911.00068), and nothing is called anomalous.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_FALSE_DISCOVERIES = 0.2
_ANOMALOUS_BELOW = 0.02


@dataclass(frozen=True)
class Estimate:
    """How many, and between which bounds."""

    count: int
    low: int
    high: int


@dataclass(frozen=True)
class Verdicts:
    """Flags are exclusive: no sample is both."""

    mislabeled: Bool[Tensor, " n"]
    anomalous: Bool[Tensor, " n"]
    mislabeled_estimate: Estimate
    anomalous_estimate: Estimate


def confident_joint_size(probabilities: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> int:
    """How many samples lie off the diagonal of the confident joint.

    A sample counts for class c when its probability of c reaches the mean probability of c among the samples
    labelled c; of several such classes the most probable counts.
    """
    classes = probabilities.shape[1]
    mean_own = torch.full((classes,), torch.inf)
    for label in torch.unique(labels).tolist():
        mean_own[label] = probabilities[labels == label, label].mean()
    confident = probabilities.masked_fill(probabilities < mean_own, -1.0)
    best = confident.max(1)
    return int(((best.values >= 0) & (best.indices != labels)).sum())


def without_trusted_reference(
    mislabeled: Float[Tensor, " n"],
    early: Float[Tensor, "n c"],
    mean: Float[Tensor, "n c"],
    votes: Float[Tensor, "n c"],
    labels: Int[Tensor, " n"],
) -> Verdicts:
    """Flag as many of the highest `mislabeled` scores as the confident joint counts.

    The count comes from the mean of epoch-averaged probabilities and neighbour votes. The bounds are the counts that
    each source alone gives: where they disagree the estimate is rough, and the bounds say so.
    """
    count = confident_joint_size((mean + votes) / 2, labels)
    alone = [confident_joint_size(source, labels) for source in (early, mean, votes)]
    flags = torch.zeros(len(labels), dtype=torch.bool)
    flags[mislabeled.argsort(descending=True, stable=True)[:count]] = True
    estimate = Estimate(count, min(count, *alone), max(count, *alone))
    return Verdicts(flags, torch.zeros_like(flags), estimate, Estimate(0, 0, 0))


def with_trusted_reference(
    same: Float[Tensor, " n"],
    every: Float[Tensor, " n"],
    reference_same: Float[Tensor, " m"],
    reference_every: Float[Tensor, " m"],
    mean_margin: Float[Tensor, " n"],
) -> Verdicts:
    """Flag by Benjamini-Hochberg on conformal p-values of the support of the label, then tell the two kinds apart.

    Anomalous: no label supports it either, or the model agrees with the label nevertheless; else mislabeled.
    """
    p_same, p_every = p_values(same, reference_same), p_values(every, reference_every)
    flags = benjamini_hochberg(p_same, _FALSE_DISCOVERIES)
    strange = (p_every < _ANOMALOUS_BELOW) | (mean_margin >= 0)
    anomalous, mislabeled = flags & strange, flags & ~strange
    return Verdicts(mislabeled, anomalous, _discoveries(mislabeled), _discoveries(anomalous))


def p_values(support: Float[Tensor, " n"], reference: Float[Tensor, " m"]) -> Float[Tensor, " n"]:
    """Conformal: `(1 + #{reference rows supported no better}) / (m + 1)`."""
    below = torch.searchsorted(reference.sort().values, support, right=True)
    return (1 + below).double() / (len(reference) + 1)


def benjamini_hochberg(p: Float[Tensor, " n"], share: float) -> Bool[Tensor, " n"]:
    """The flags whose expected share of false ones is at most `share` (Benjamini and Hochberg 1995)."""
    ordered = p.sort().values
    bound = share * torch.arange(1, len(p) + 1, dtype=p.dtype) / max(len(p), 1)
    passing = (ordered <= bound).nonzero()
    if len(passing) == 0:
        return torch.zeros(len(p), dtype=torch.bool)
    return p <= ordered[passing[-1, 0]]


def suggest(
    early: Float[Tensor, "n c"],
    votes: Float[Tensor, "n c"],
    labels: Int[Tensor, " n"],
    mislabeled: Bool[Tensor, " n"],
) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
    """The likeliest label by early probabilities and neighbour votes together, and that mean as confidence.

    A sample that is called mislabeled is never given its own label back.
    """
    belief = (early + votes) / 2
    allowed = belief.scatter(1, labels[:, None], torch.where(mislabeled, -1.0, _own(belief, labels))[:, None])
    best = allowed.max(1)
    return best.indices, best.values.clamp(0, 1)


def _own(belief: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    return belief.gather(1, labels[:, None]).squeeze(1)


def _discoveries(flags: Bool[Tensor, " n"]) -> Estimate:
    # At most a share q of the flags is false in expectation; what stays below the cut-off is not counted.
    count = int(flags.sum())
    return Estimate(count, round(count * (1 - _FALSE_DISCOVERIES)), count)
