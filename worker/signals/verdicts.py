"""Which samples are called mislabeled or anomalous, how many there are, and which label would be right.

No known contamination is needed: how many are flagged is the estimate of worker.signals.counts, which are flagged the
ranking decides. Anomalies come first: a sample that lies outside of everything known has no right label to be given.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worker.signals.counts import Estimate, agreed_errors, excess, lead_of_label, share_of_wrong
from worker.signals.measurements import Measurements, Trusted

TRUSTED_ROWS = 150  # fewer tell too little of what is usual to flag anything
_NONE = Estimate(0, 0, 0)


@dataclass(frozen=True)
class Verdicts:
    """Flags are exclusive: no sample is both."""

    mislabeled: Bool[Tensor, " n"]
    anomalous: Bool[Tensor, " n"]
    mislabeled_estimate: Estimate
    anomalous_estimate: Estimate


def decide(
    m: Measurements, mislabeled: Float[Tensor, " n"], anomalous: Float[Tensor, " n"], generator: torch.Generator
) -> Verdicts:
    """Count, then flag from the top of each ranking. Without 150 trusted samples nothing is called anomalous."""
    if m.trusted is None or len(m.trusted.labels) < TRUSTED_ROWS:
        nobody = torch.zeros(len(m.labels), dtype=torch.bool)
        guesses = [m.first_votes, m.guess, *([] if m.frozen_votes is None else [m.frozen_votes])]
        wrong = agreed_errors(guesses, m.labels)
        return Verdicts(_top(mislabeled, wrong.count, nobody), nobody, wrong, _NONE)
    strange = excess(m.trusted.strange.train.amax(0), m.trusted.strange.reference.amax(0))
    outside = _top(anomalous, strange.count, torch.zeros(len(m.labels), dtype=torch.bool))
    wrong = _wrong_labels(m, m.trusted, ~outside, generator)
    return Verdicts(_top(mislabeled, wrong.count, outside), outside, wrong, strange)


def around_cut(scores: Float[Tensor, " n"], flagged: Bool[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Scores in [0, 1] on a scale of which 0.5 is the cut-off, so that they mean the same in every job.

    The order stays. Where nothing is flagged, nothing reaches 0.5.
    """
    if not flagged.any():
        return scores / 2 * (1 - torch.finfo(scores.dtype).eps)
    cut = scores[flagged].min()
    above = 0.5 + 0.5 * (scores - cut) / (1 - cut).clamp(min=1e-9)
    return torch.where(scores >= cut, above.clamp(max=1), 0.5 * scores / cut.clamp(min=1e-9))


def _wrong_labels(m: Measurements, trusted: Trusted, rows: Bool[Tensor, " n"], generator: torch.Generator) -> Estimate:
    classes = m.guess.shape[1]
    others = [(trusted.labels + step) % classes for step in range(1, classes)]
    return share_of_wrong(
        lead_of_label(m.guess, m.labels)[rows],
        lead_of_label(trusted.guess, trusted.labels),
        torch.cat([lead_of_label(trusted.guess, labels) for labels in others]),
        generator,
    )


def _top(scores: Float[Tensor, " n"], count: int, taken: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
    flags = torch.zeros_like(taken)
    order = scores.masked_fill(taken, -torch.inf).argsort(descending=True, stable=True)
    flags[order[: min(count, int((~taken).sum()))]] = True
    return flags


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
    given = belief.gather(1, labels[:, None])
    allowed = belief.scatter(1, labels[:, None], torch.where(mislabeled[:, None], -1.0, given))
    best = allowed.max(1)
    return best.indices, best.values.clamp(0, 1)
