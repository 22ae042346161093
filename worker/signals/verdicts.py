"""Which samples are called mislabeled or anomalous, and how many there are.

No known contamination is needed: how many are flagged is the estimate of worker.signals.counts, which are flagged the
ranking decides. Anomalies come first: a sample that lies outside of everything known has no right label to be given.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worker.signals.counts import Estimate, agreed_errors, estimate, excess, lead_of_label, share_of_wrong
from worker.signals.measurements import Measurements, Trusted
from worker.signals.moments import share_by_moments

TRUSTED_ROWS = 150  # fewer tell too little of what is usual to flag anything
_NONE = Estimate(0, 0, 0)
_CONTRADICTS, _TOO_ROUGH = 2.5, 0.035  # deviations between two counts; a share of the samples


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
    """Two ways to count: the first is the more precise one, and supposes that all labels err alike.

    Where the second contradicts it, that is not so, and the second counts. Its own opinion is always in the interval.
    """
    classes = m.guess.shape[1]
    others = [(trusted.labels + step) % classes for step in range(1, classes)]
    alike = share_of_wrong(
        lead_of_label(m.guess, m.labels)[rows],
        lead_of_label(trusted.guess, trusted.labels),
        torch.cat([lead_of_label(trusted.guess, labels) for labels in others]),
        generator,
    )
    samples = int(rows.sum())
    free = share_by_moments(m.guess[rows], m.labels[rows], trusted.guess, trusted.labels)
    if free is None or not samples:
        return alike
    if free.deviation < _TOO_ROUGH and abs(free.value - alike.count / samples) > _CONTRADICTS * free.deviation:
        low, high = free.value - 2 * free.deviation, free.value + 2 * free.deviation
        # One that reaches down to none contradicts, if at all, a count that was too high.
        return estimate(free.value * samples if low > 0 else 0.0, low * samples, high * samples, samples)
    told = free.value * samples
    return estimate(float(alike.count), float(min(alike.low, told)), float(max(alike.high, told)), samples)


def _top(scores: Float[Tensor, " n"], count: int, taken: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
    flags = torch.zeros_like(taken)
    order = scores.masked_fill(taken, -torch.inf).argsort(descending=True, stable=True)
    flags[order[: min(count, int((~taken).sum()))]] = True
    return flags
