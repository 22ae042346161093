"""Number of anomalies and of wrong labels, with an interval; no contamination has to be given.

With a trusted reference the training set is a mixture of samples like the reference and of others, and the share of the
others is estimated. Without one, predictions that are independent of a label count it as wrong where they agree, are sure
and contradict it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.signals.doubts import Doubt, doubt_without_verified
from worker.signals.ranks import rank

_TAILS = (0.005, 0.01, 0.02, 0.04, 0.08)  # shares of the reference beyond the thresholds that are tried
_MOST = 0.4  # share of anomalies above which the reference is rather of another kind
_CERTAIN = 4.0  # standard deviations that an excess needs; five thresholds are tried
_CONTRADICTS = 3.0  # standard deviations by which another threshold must find more
_WIDE = 2.0  # standard deviations on each side of an interval
_BINS = 12
_SHARES = torch.linspace(0, 0.6, 601, dtype=torch.float64)
_RESAMPLED = 100
_TAIL = 0.01  # share of the resampled counts on each side of an interval, which has room for more than chance
_SUREST = (0.1, 0.2, 0.3)  # shares of the samples; the middle one gives the count
_UNSURE, _UNABLE = 0.27, 0.4  # shares of labels predicted otherwise: classes overlap, so sure predictions may be wrong
_AGREED_LEAST = 0.02  # with nothing verified, a smaller share of wrong labels cannot be told from none
_OVERLAPPING = (
    0.04  # share of wrong labels: the surest of each class, without errors, had fewer on the development sets
)
_ROUGH = 2.0  # where the surest of each class alone count: by which factor the truth was more or less on tables of development sets
_LEAST = 0.01  # a smaller share of wrong labels cannot be told from none


@dataclass(frozen=True)
class CountEstimate:
    """A number of samples, and an interval that holds it about nine times in ten. With a `doubt` it says nothing."""

    count: int
    low: int
    high: int
    doubt: Doubt | None = None


def estimate(count: float, low: float, high: float, samples: int, doubt: Doubt | None = None) -> CountEstimate:
    """Round to whole numbers within [0, samples], with `low` <= `high`."""
    bounded = [round(min(max(value, 0.0), samples)) for value in (count, low, high)]
    return CountEstimate(bounded[0], min(bounded), max(bounded), doubt)


def anomaly_count(strangest: Float[Tensor, " n"], reference: Float[Tensor, " m"]) -> CountEstimate:
    """How many more of n training samples than expected exceed the scores of m reference samples.

    Expected are n/m for each reference sample beyond a threshold. Of the thresholds with a significant excess, the most
    precise one that no other contradicts gives the count: beyond a high threshold some anomalies are missing, beyond a
    low one the expected number is large. Without a significant excess the count is 0. The count is in doubt where more than
    40 % would be anomalies, or where so few lie below the median of the reference that the rest is not like it either.
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
        return _if_alike(estimate(0.0, 0.0, surplus + _WIDE * deviation, samples), strangest, reference)
    deviation, surplus = next(
        one for one in sure if all(one[1] >= other - _CONTRADICTS * width for width, other in sure)
    )
    highest = max(other + width for width, other in sure)
    counted = estimate(surplus, surplus - _WIDE * deviation, max(surplus + _WIDE * deviation, highest), samples)
    return _if_alike(counted, strangest, reference)


def _if_alike(found: CountEstimate, strangest: Float[Tensor, " n"], reference: Float[Tensor, " m"]) -> CountEstimate:
    """The count, unless the samples that it leaves are stranger than the reference as a whole."""
    samples = len(strangest)
    below = float((strangest <= reference.median()).double().mean()) / float(
        (reference <= reference.median()).double().mean()
    )
    noise = (1 / samples + 1 / len(reference)) ** 0.5
    if found.low <= _MOST * samples and 1 - below - _CONTRADICTS * noise <= found.high / samples:
        return found
    most = max(found.high, round((1 - below) * samples))
    return CountEstimate(0, 0, most, Doubt("all_unlike_verified", most))


def wrong_label_count(
    given: Float[Tensor, " n"],
    right: Float[Tensor, " m"],
    wrong: Float[Tensor, " w"],
    generator: torch.Generator,
) -> CountEstimate:
    """How many of n labels are wrong, by the margins of a prediction that has not seen them.

    `given`, `right` and `wrong`: margins of the training labels, of the verified labels of the reference, and of labels
    that the reference samples do not have. The histogram of the first is a mixture of the other two with the
    maximum-likelihood share; the interval comes from resampling.
    """
    pooled = torch.cat([right, wrong]).double()
    edges = torch.unique(torch.quantile(pooled[:: max(1, len(pooled) // 1_000_000)], _inner(_BINS)))
    counts = [
        torch.bincount(torch.bucketize(x.double(), edges), minlength=len(edges) + 1) for x in (given, right, wrong)
    ]
    samples = len(given)
    share = _likeliest(*(count[None].double() for count in counts))[0]
    drawn = _likeliest(*(_drawn_again(count, generator) for count in counts))
    low, high = torch.quantile(drawn, torch.tensor([_TAIL, 1 - _TAIL], dtype=torch.float64)).tolist()
    # So few cannot be told from none, whatever the likeliest share is.
    count = 0.0 if low < _LEAST and float(share) < 3 * _LEAST else float(share) * samples
    return estimate(count, low * samples, high * samples, samples)


def agreed_error_count(guesses: Sequence[Float[Tensor, "n c"]], labels: Int[Tensor, " n"]) -> CountEstimate:
    """How many labels are wrong without any verified sample: the rate among the surest samples, extended to all.

    `guesses`: independent scores of the classes, none of which has seen the sample's own label. A sample is sure where all
    agree, the more so the larger their margins. Overlapping classes make the count too high: above 27 % of labels
    predicted otherwise the interval starts at 0, above 40 % the count is 0. The count is in doubt where the rate may fall
    to none among ever surer samples, twice as steeply as it does here, while many labels are predicted otherwise.

    The surest of all samples may be of classes without errors. The surest of each predicted class are taken too: the
    interval holds both, and where the first alone is in doubt the second counts, if it excludes what the surest of
    overlapping classes have without errors. The interval then goes from half of the count to twice it at least.
    """
    whole = _by_surest(guesses, labels, by_class=False)
    each = _by_surest(guesses, labels, by_class=True)
    if whole.doubt is None:
        return replace(whole, low=min(whole.low, each.low), high=max(whole.high, each.high))
    if each.doubt is not None or each.low < _OVERLAPPING * len(labels):
        return whole
    low, high = min(each.low, each.count / _ROUGH), max(each.high, each.count * _ROUGH)
    return estimate(float(each.count), float(low), float(high), len(labels))


def _by_surest(guesses: Sequence[Float[Tensor, "n c"]], labels: Int[Tensor, " n"], *, by_class: bool) -> CountEstimate:
    first = torch.stack([guess.argmax(1) for guess in guesses])
    sureness = torch.stack([rank(_lead(guess)) for guess in guesses]).mean(0)
    sureness = torch.where((first == first[0]).all(0), sureness, -1.0)
    if by_class:
        place = torch.empty_like(sureness)
        for label in range(guesses[0].shape[1]):
            rows = (first[0] == label).nonzero().squeeze(1)
            place[rows] = rank(sureness[rows]).to(place.dtype)
        sureness = torch.where(sureness < 0, sureness, place)
    order = sureness.argsort(descending=True, stable=True)
    errs = (first[0] != labels)[order].double()
    samples = len(labels)
    sizes = [max(1, round(share * samples)) for share in _SUREST]
    rates = [float(errs[:size].mean()) for size in sizes]
    noise = _WIDE * (max(rates[1], 1 / sizes[1]) * (1 - rates[1]) / sizes[1]) ** 0.5
    # The rate of all samples differs from that of the surest by about as much as it changes among the surest.
    rising = rates[0] - (rates[2] - rates[0]) / 2
    count = rates[1] if rates[1] >= _AGREED_LEAST else 0.0
    bounds = (min(rates[0], rates[1], rising) - noise, max(rates) + noise)
    differing = min(float((guess.argmax(1) != labels).double().mean()) for guess in guesses)
    if differing > _UNSURE:
        bounds = (0.0, bounds[1])
    if differing > _UNABLE:
        count = 0.0
    doubt = doubt_without_verified(
        guesses,
        labels,
        least=min(bounds[0], rates[0] - (rates[2] - rates[0]) - noise),
        most=bounds[1],
        noise=_WIDE / sizes[1],
    )
    return estimate(count * samples, bounds[0] * samples, bounds[1] * samples, samples, doubt)


def _lead(guess: Float[Tensor, "n c"]) -> Float[Tensor, " n"]:
    top = guess.topk(2, dim=1).values
    return top[:, 0] - top[:, 1]


def _inner(bins: int) -> Float[Tensor, " e"]:
    return torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]


def _drawn_again(counts: Int[Tensor, " b"], generator: torch.Generator) -> Float[Tensor, "r b"]:
    total = int(counts.sum())
    # Poisson counts are distributed like those of a resample, and cost one draw per bin.
    return torch.poisson(counts.double().expand(_RESAMPLED, -1), generator=generator) * (1.0 if total else 0.0)


def _likeliest(
    given: Float[Tensor, "r b"], right: Float[Tensor, "r b"], wrong: Float[Tensor, "r b"]
) -> Float[Tensor, " r"]:
    def density(counts: Float[Tensor, "r b"]) -> Float[Tensor, "r b"]:
        return (counts + 0.5) / (counts + 0.5).sum(1, keepdim=True)

    mixed = torch.einsum("s,rb->rsb", 1 - _SHARES, density(right)) + torch.einsum("s,rb->rsb", _SHARES, density(wrong))
    return _SHARES[torch.einsum("rb,rsb->rs", given, mixed.log()).argmax(1)]
