"""How many samples are wrong, with an interval, and without a contamination that somebody would have to know.

With a trusted reference the training set is a mixture of what the reference looks like and of something else, and the
share of the something else is estimated. Without one there is only what independent guesses agree on: where they are
surest, and still contradict the given label, the label is wrong.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

_TAILS = (0.005, 0.01, 0.02, 0.04, 0.08)  # of the reference, beyond which an excess is looked for
_CERTAIN = 4.0  # standard deviations that an excess must have; five thresholds are tried
_CONTRADICTS = 3.0  # standard deviations by which another threshold must find more
_WIDE = 2.0  # standard deviations on each side of an interval
_BINS = 12
_SHARES = torch.linspace(0, 0.6, 601, dtype=torch.float64)
_RESAMPLED = 100
_SUREST = (0.1, 0.2, 0.3)  # of the samples; the middle one gives the count
_UNSURE, _UNABLE = 0.3, 0.4  # of the labels guessed otherwise: classes overlap, and sure guesses may be wrong as well
_AGREED_LEAST = 0.02  # where nothing is verified, a smaller share of wrong labels is not told from none
_LEAST = 0.01  # a smaller share of the samples is not told from none


@dataclass(frozen=True)
class Estimate:
    """How many, and between which bounds: about nine times in ten."""

    count: int
    low: int
    high: int


def estimate(count: float, low: float, high: float, samples: int) -> Estimate:
    """Whole numbers within [0, samples], in order."""
    bounded = [round(min(max(value, 0.0), samples)) for value in (count, low, high)]
    return Estimate(bounded[0], min(bounded), max(bounded))


def excess(strangest: Float[Tensor, " n"], reference: Float[Tensor, " m"]) -> Estimate:
    """How many more training samples are stranger than the reference's own than chance would have.

    Chance is that of a sample of the same source: of n samples, n/m for each reference row that lies beyond. Of the
    thresholds beyond which the excess is sure, the most precise is taken that no other contradicts: beyond a far one
    some anomalies may be missing, beyond a near one chance is large. None that is sure means no anomaly.
    """
    samples, known = len(strangest), len(reference)
    ordered = reference.sort(descending=True).values
    found: list[tuple[float, float]] = []  # deviation and surplus, so that the most precise sorts first
    for share in _TAILS:
        beyond = max(1, round(known * share))
        surplus = int((strangest > ordered[beyond - 1]).sum()) - samples * beyond / known
        found.append((samples * (beyond + 1) ** 0.5 / known, surplus))
    sure = sorted((deviation, surplus) for deviation, surplus in found if surplus > _CERTAIN * deviation + 2)
    if not sure:
        deviation, surplus = max(found, key=lambda one: one[1] - _CERTAIN * one[0])
        return estimate(0.0, 0.0, surplus + _WIDE * deviation, samples)
    deviation, surplus = next(
        one for one in sure if all(one[1] >= other - _CONTRADICTS * width for width, other in sure)
    )
    highest = max(other + width for width, other in sure)
    return estimate(surplus, surplus - _WIDE * deviation, max(surplus + _WIDE * deviation, highest), samples)


def share_of_wrong(
    given: Float[Tensor, " n"],
    right: Float[Tensor, " m"],
    wrong: Float[Tensor, " w"],
    generator: torch.Generator,
) -> Estimate:
    """How many of n labels are wrong, by how well the others' guess fits them.

    `given`, `right` and `wrong` are margins of that guess: of the training labels, of the reference's verified labels
    and of labels that the reference's samples do not have. The first is a mixture of the other two, whose share is
    the likeliest; the interval is that of samples drawn again.
    """
    pooled = torch.cat([right, wrong]).double()
    edges = torch.unique(torch.quantile(pooled[:: max(1, len(pooled) // 1_000_000)], _inner(_BINS)))
    counts = [
        torch.bincount(torch.bucketize(x.double(), edges), minlength=len(edges) + 1) for x in (given, right, wrong)
    ]
    samples = len(given)
    share = _likeliest(*(count[None].double() for count in counts))[0]
    drawn = _likeliest(*(_drawn_again(count, generator) for count in counts))
    low, high = torch.quantile(drawn, torch.tensor([0.05, 0.95], dtype=torch.float64)).tolist()
    # Fewer than this are not told from none, whatever the likeliest share is.
    count = 0.0 if low < _LEAST and float(share) < 3 * _LEAST else float(share) * samples
    return estimate(count, low * samples, high * samples, samples)


def agreed_errors(guesses: Sequence[Float[Tensor, "n c"]], labels: Int[Tensor, " n"]) -> Estimate:
    """How many labels are wrong, when nothing is verified: the rate among the surest samples, taken for that of all.

    `guesses` are independent scores of the classes, none of which has seen the sample's own label. A sample is sure
    where all agree, and by how large their margins are. Classes that the guesses tell apart badly make the count too
    high; then the interval begins at none, and where they are hopeless nothing is counted.
    """
    first = torch.stack([guess.argmax(1) for guess in guesses])
    sureness = torch.stack([_rank(_lead(guess)) for guess in guesses]).mean(0)
    sureness = torch.where((first == first[0]).all(0), sureness, -1.0)
    order = sureness.argsort(descending=True, stable=True)
    errs = (first[0] != labels)[order].double()
    samples = len(labels)
    sizes = [max(1, round(share * samples)) for share in _SUREST]
    rates = [float(errs[:size].mean()) for size in sizes]
    noise = _WIDE * (max(rates[1], 1 / sizes[1]) * (1 - rates[1]) / sizes[1]) ** 0.5
    # From the surest to all samples the rate may rise or fall; as far as it does so among them, it is not known.
    rising = rates[0] - (rates[2] - rates[0]) / 2
    count = rates[1] if rates[1] >= _AGREED_LEAST else 0.0
    bounds = (min(rates[0], rates[1], rising) - noise, max(rates) + noise)
    differing = min(float((guess.argmax(1) != labels).double().mean()) for guess in guesses)
    if differing > _UNSURE:
        bounds = (0.0, bounds[1])
    if differing > _UNABLE:
        count = 0.0
    return estimate(count * samples, bounds[0] * samples, bounds[1] * samples, samples)


def _lead(guess: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
    top = guess.topk(2, dim=1).values
    return top[:, 0] - top[:, 1]


def _rank(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    return values.argsort(stable=True).argsort().float() / len(values)


def _inner(bins: int) -> Float[Tensor, " e"]:
    return torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]


def _drawn_again(counts: Int[Tensor, " b"], generator: torch.Generator) -> Float[Tensor, "r b"]:
    total = int(counts.sum())
    # Poisson numbers are those of a resample to within their own noise, and cost one draw a bin.
    return torch.poisson(counts.double().expand(_RESAMPLED, -1), generator=generator) * (1.0 if total else 0.0)


def _likeliest(
    given: Float[Tensor, "r b"], right: Float[Tensor, "r b"], wrong: Float[Tensor, "r b"]
) -> Float[Tensor, " r"]:
    def density(counts: Float[Tensor, "r b"]) -> Float[Tensor, "r b"]:
        return (counts + 0.5) / (counts + 0.5).sum(1, keepdim=True)

    mixed = torch.einsum("s,rb->rsb", 1 - _SHARES, density(right)) + torch.einsum("s,rb->rsb", _SHARES, density(wrong))
    return _SHARES[torch.einsum("rb,rsb->rs", given, mixed.log()).argmax(1)]
