"""Which samples are called mislabeled or anomalous, and how many there are.

No known contamination is needed: how many are flagged is the estimate of worker.signals.counts, which are flagged the
ranking decides. Anomalies come first: a sample that lies outside of everything known has no right label to be given.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worker.signals.counts import Estimate, agreed_errors, estimate, excess, share_of_wrong
from worker.signals.margin import margin
from worker.signals.measurements import Answers, Measurements, Unseen
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
    m: Answers, mislabeled: Float[Tensor, " n"], anomalous: Float[Tensor, " n"] | None, generator: torch.Generator
) -> Verdicts:
    """Count, then flag from the top of each ranking. Without 150 trusted samples nothing is called anomalous."""
    nobody = torch.zeros(len(m.labels), dtype=torch.bool)
    outside, strange = nobody, _NONE
    trusted = m.trusted if isinstance(m, Measurements) else None
    if trusted is not None and anomalous is not None and len(trusted.labels) >= TRUSTED_ROWS:
        strange = excess(trusted.strange.train.amax(0), trusted.strange.reference.amax(0))
        outside = _top(anomalous, strange.count, nobody)
    known = _known(m)
    if known is None:
        wrong = agreed_errors(_guesses(m), m.labels)
    else:
        wrong = _wrong_labels(known, m.labels, ~outside, generator)
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


def _known(m: Answers) -> Unseen | None:
    """Guesses that no sample's own label is in, where enough of them are of verified samples to count by."""
    known = m.unseen
    if known is None and isinstance(m, Measurements) and m.trusted is not None:
        known = Unseen(m.position.guess, m.trusted.guess, m.trusted.labels)
    return None if known is None or len(known.known_labels) < TRUSTED_ROWS else known


def _guesses(m: Answers) -> list[Float[Tensor, "n c"]]:
    """All such guesses, each of another kind."""
    found = [] if m.unseen is None else [m.unseen.train]
    if isinstance(m, Measurements):
        found += [m.votes.first, m.position.guess, *([] if m.embedding_votes is None else [m.embedding_votes])]
    return found


def _wrong_labels(
    guesses: Unseen, labels: Int[Tensor, " n"], rows: Bool[Tensor, " n"], generator: torch.Generator
) -> Estimate:
    """Two ways to count: the first is the more precise one, and supposes that all labels err alike.

    Where the second contradicts it, that is not so, and the second counts. Its own opinion is always in the interval.
    """
    guess, known, known_labels = guesses.train, guesses.known, guesses.known_labels
    classes = guess.shape[1]
    others = [(known_labels + step) % classes for step in range(1, classes)]
    alike = share_of_wrong(
        margin(guess, labels)[rows],
        margin(known, known_labels),
        torch.cat([margin(known, other) for other in others]),
        generator,
    )
    samples = int(rows.sum())
    free = share_by_moments(guess[rows], labels[rows], known, known_labels)
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
