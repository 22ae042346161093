"""Verdicts: which samples are flagged as mislabeled or anomalous.

worker.signals.counts estimates how many are flagged, so no contamination has to be given; the ranking decides which.
Anomalies are flagged first: no class is right for a sample that lies outside of all classes.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from service.domain.estimate import TRUSTED_ROWS
from worker.signals.counts import CountEstimate, agreed_error_count, anomaly_count, estimate, wrong_label_count
from worker.signals.doubts import LEAST, Doubt, doubt_with_verified
from worker.signals.margin import margin
from worker.signals.measurements import Answers, Measurements, Unseen
from worker.signals.moments import share_by_moments

_CONTRADICTS, _TOO_ROUGH = 2.5, 0.035  # deviations between two counts; a deviation, as a share of the samples
_UNLIKE = 2.5  # deviations below none, of a count that cannot be negative
_ALIKE = 0.25  # share of the wrong predictions whose labels may be wrong in the same way; from development sets
_SURE_ODDS = 2.0  # log odds of another label by each prediction: so sure ones are flagged where nothing is counted


@dataclass(frozen=True)
class Verdicts:
    """Flags are exclusive: no sample is both."""

    mislabeled: Bool[Tensor, " n"]
    anomalous: Bool[Tensor, " n"]
    mislabeled_estimate: CountEstimate
    anomalous_estimate: CountEstimate

    @property
    def judged(self) -> bool:
        """Whether at least one of the two numbers could be told."""
        return self.mislabeled_estimate.doubt is None or self.anomalous_estimate.doubt is None


def decide(
    m: Answers,
    mislabeled: Float[Tensor, " n"],
    anomalous: Float[Tensor, " n"] | None,
    generator: torch.Generator,
    counted: CountEstimate | None = None,
    likely: Bool[Tensor, " n"] | None = None,
) -> Verdicts:
    """Count, then flag from the top of each ranking. Without 150 trusted samples nothing is flagged as anomalous.

    `counted`: the number of wrong labels where it is known already. `likely`: by reviews, which labels are more likely wrong than not.
    """
    nobody = torch.zeros(len(m.labels), dtype=torch.bool)
    outside, strange = nobody, CountEstimate(0, 0, 0, _blindness(m))
    if isinstance(m, Measurements) and m.trusted is not None and anomalous is not None and strange.doubt is None:
        strange = _doubted(
            anomaly_count(m.trusted.strange.train.amax(0), m.trusted.strange.reference.amax(0)), len(m.labels)
        )
        outside = _top(anomalous, strange.count, nobody)
    if likely is not None:
        number = int(likely.sum())
        return Verdicts(likely & ~outside, outside, CountEstimate(number, number, number), strange)
    if counted is not None:
        return Verdicts(_top(mislabeled, counted.count, outside), outside, counted, strange)
    known = _known(m)
    if known is None:
        wrong = agreed_error_count(_guesses(m), m.labels)
    else:
        wrong = _doubted(_wrong_labels(known, m.labels, ~outside, generator), len(m.labels))
        wrong = _allowing_for_likeness(wrong, known, m.labels, ~outside)
    if wrong.doubt is not None and m.unseen is None:
        wrong = replace(wrong, count=min(max(_surely_wrong(m), wrong.low), wrong.high))
    return Verdicts(_top(mislabeled, wrong.count, outside), outside, wrong, strange)


def _surely_wrong(m: Answers) -> int:
    """How many samples have a label that every prediction of a training holds for about seven times less likely than another."""
    if not isinstance(m, Measurements):
        return 0
    # The network learns an error that is shared by the rest of a group, and then agrees with it.
    odds = m.confusion.held_out if m.grouped else torch.minimum(m.confusion.held_out, m.confusion.scores)
    return int((odds > _SURE_ODDS).sum())


def rescale_around_cut(scores: Float[Tensor, " n"], flagged: Bool[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Rescale scores in [0, 1] so that flagged ones are those from 0.5 on, in every job. The order stays."""
    if not flagged.any():
        return scores / 2 * (1 - torch.finfo(scores.dtype).eps)
    cut = scores[flagged].min()
    above = 0.5 + 0.5 * (scores - cut) / (1 - cut).clamp(min=1e-9)
    return torch.where(scores >= cut, above.clamp(max=1), 0.5 * scores / cut.clamp(min=1e-9))


def _blindness(m: Answers) -> Doubt | None:
    """Why anomalies cannot be counted at all."""
    if not isinstance(m, Measurements):
        return Doubt("no_features", len(m.labels))
    if m.trusted is None:
        return Doubt("none_verified", len(m.labels))
    return Doubt("few_verified", len(m.labels)) if len(m.trusted.labels) < TRUSTED_ROWS else None


def _doubted(found: CountEstimate, samples: int) -> CountEstimate:
    return replace(found, doubt=found.doubt or doubt_with_verified(found.low, found.high, samples))


def _known(m: Answers) -> Unseen | None:
    """Predictions that have not seen the sample's own label, if 150 of them are of verified samples."""
    known = m.unseen
    if known is None and isinstance(m, Measurements) and m.trusted is not None:
        known = Unseen(m.position.guess, m.trusted.guess, m.trusted.labels)
    return None if known is None or len(known.known_labels) < TRUSTED_ROWS else known


def _guesses(m: Answers) -> list[Float[Tensor, "n c"]]:
    """All predictions that have not seen the sample's own label, each of another kind."""
    found = [] if m.unseen is None else [m.unseen.train]
    if isinstance(m, Measurements):
        found += [m.votes.first, m.position.guess]
        found += [one for one in (m.embedding_votes, m.by_trees) if one is not None]
    return found


def _wrong_labels(
    guesses: Unseen, labels: Int[Tensor, " n"], rows: Bool[Tensor, " n"], generator: torch.Generator
) -> CountEstimate:
    """Count in two ways. The mixture of margins is the more precise one, and assumes the same error rate in every class.

    Where the method of moments contradicts it, that does not hold, and the moments count. Their value is always inside the
    interval.
    """
    guess, known, known_labels = guesses.train, guesses.known, guesses.known_labels
    classes = guess.shape[1]
    others = [(known_labels + step) % classes for step in range(1, classes)]
    alike = wrong_label_count(
        margin(guess, labels)[rows],
        margin(known, known_labels),
        torch.cat([margin(known, other) for other in others]),
        generator,
    )
    samples = int(rows.sum())
    free = share_by_moments(guess[rows], labels[rows], known, known_labels)
    if free is None or not samples or free.deviation >= _TOO_ROUGH:
        return _unless_none(alike, guess[rows], labels[rows])
    if free.value < -_UNLIKE * free.deviation:
        # A right label is contradicted less often here than among the verified samples, which then tell nothing.
        return replace(alike, doubt=Doubt("unlike_verified", max(alike.high, _contradicted(guess[rows], labels[rows]))))
    low, high = (samples * (free.value + side * free.deviation) for side in (-2, 2))
    if abs(free.value - alike.count / samples) > _CONTRADICTS * free.deviation:
        # An interval that reaches 0 can only contradict a count that was too high.
        return estimate(free.value * samples if low > 0 else 0.0, low, high, samples)
    told = free.value * samples
    # The first count misses errors that come from few classes, so its upper end is not trusted alone.
    return estimate(float(alike.count), float(min(alike.low, told)), float(max(alike.high, high)), samples)


def _allowing_for_likeness(
    found: CountEstimate, guesses: Unseen, labels: Int[Tensor, " n"], rows: Bool[Tensor, " n"]
) -> CountEstimate:
    """The count, with an interval that goes from what the contradictions alone tell to wrong labels that the predictions repeat.

    Of n labels D are contradicted, and E predictions are wrong, as many as of the verified samples. D - E labels are wrong if those of
    wrong predictions are right, D + E if all of them are wrong in the same way. E is known but for chance: the lower end has room for one
    standard error of it, the upper end, where a part of E is assumed, for two.
    """
    samples, known = int(rows.sum()), len(guesses.known_labels)
    if found.doubt is not None or not samples:
        return found
    missed = float((guesses.known.argmax(1) != guesses.known_labels).double().mean())
    noise = (max(missed, 1 / known) * (1 - missed) / known) ** 0.5
    contradicted = _contradicted(guesses.train[rows], labels[rows])
    low = min(found.low, max(0, round(contradicted - (missed + noise) * samples)))
    high = max(found.high, round(min(contradicted + ((2 * _ALIKE - 1) * missed + 2 * noise) * samples, samples)))
    wide = doubt_with_verified(low, high, len(labels))
    return replace(found, low=low, high=high, doubt=None if wide is None else Doubt("look_alike", high))


def _unless_none(found: CountEstimate, guess: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> CountEstimate:
    """A count that no other one confirms; where it may be none, errors of few classes may be as many as are contradicted."""
    if found.low >= LEAST * len(labels):
        return found
    return replace(found, high=max(found.high, _contradicted(guess, labels)))


def _contradicted(guess: Float[Tensor, "n c"], labels: Int[Tensor, " n"]) -> int:
    return int((guess.argmax(1) != labels).sum())


def _top(scores: Float[Tensor, " n"], count: int, taken: Bool[Tensor, " n"]) -> Bool[Tensor, " n"]:
    flags = torch.zeros_like(taken)
    order = scores.masked_fill(taken, -torch.inf).argsort(descending=True, stable=True)
    flags[order[: min(count, int((~taken).sum()))]] = True
    return flags
