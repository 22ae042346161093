"""Selects and orders the classes, pairs and signals that tables and figures show."""

from collections import Counter
from collections.abc import Sequence

from service.domain.signal import HEADLINES
from service.report.facts import Detected, Facts, Planted, SignalFacts
from service.store.tallies import ClassTally, Confusion

LARGEST = 20  # classes in a figure
_FAMILIAR = (
    "mislabeled", "anomalous", "aum", "loss", "knn_vote", "held_out_guess", "si", "gd_class", "cnci", "gc_own", "grand",
    "forgetting", "remoteness", "crowding", "divergence", "label_distance", "mahalanobis", "isolation",
)  # fmt: skip
_SIGNALS = 12
_EACH = 5


def flagged_classes(facts: Facts, limit: int) -> list[ClassTally]:
    """The labels with the most flagged samples, ordered by the share that is flagged, the largest first."""
    most = sorted(facts.classes, key=lambda one: (-one.flagged, one.label))[:limit]
    return sorted((one for one in most if one.flagged), key=lambda one: (-one.flagged / one.samples, one.label))


def suspicious_pairs(facts: Facts) -> list[Confusion]:
    """Pairs of given and suggested label among the most suspicious samples, the most frequent first."""
    pairs = Counter((one.given, one.suggested) for one in facts.top if one.given != one.suggested)
    found = [Confusion(given, suggested, count) for (given, suggested), count in pairs.items()]
    return sorted(found, key=lambda one: (-one.count, one.given, one.suggested))


def suspicious_classes(facts: Facts) -> list[tuple[str, int, float]]:
    """Classes of the most suspicious samples: name, samples, and the share of those that are suspicious, largest first."""
    counts = Counter(one.given for one in facts.top)
    found = [(one.label, one.samples, counts[one.label] / one.samples) for one in facts.classes if counts[one.label]]
    return sorted(found, key=lambda one: (-one[2], one[0]))


def confused_classes(facts: Facts) -> list[str]:
    """The classes of the most frequent confusions, in the order of the dataset."""
    weight: Counter[str] = Counter()
    for pair in facts.confusions:
        weight[pair.given] += pair.count
        weight[pair.suggested] += pair.count
    most = {name for name, _ in sorted(weight.items(), key=lambda one: (-one[1], one[0]))[:LARGEST]}
    return [name for name in facts.dataset.classes if name in most]


def confusion_matrix(pairs: Sequence[Confusion], names: Sequence[str]) -> list[list[int]]:
    """The number of samples whose given label is the row and whose suggested label is the column."""
    counts = {(pair.given, pair.suggested): pair.count for pair in pairs}
    return [[counts.get((given, suggested), 0) for suggested in names] for given in names]


def familiar_signals(facts: Facts) -> list[SignalFacts]:
    """The best-known signals of the job, `mislabeled` and `anomalous` first."""
    known = {signal.name: signal for signal in facts.signals}
    names = [name for name in _FAMILIAR if name in known] + [name for name in known if name not in _FAMILIAR]
    return [known[name] for name in names[:_SIGNALS]]


def correlations(signals: Sequence[SignalFacts]) -> list[list[float | None]]:
    """Spearman's rank correlation of each pair of signals; None for a signal that is the same for every sample."""
    return [[1.0 if a.name == b.name else a.correlations.get(b.name) for b in signals] for a in signals]


def best_signals(planted: Planted) -> list[Detected]:
    """The signals with the highest average precision on planted glitches, always with `mislabeled` and `anomalous`."""
    return [one for place, one in enumerate(planted.signals) if place < _SIGNALS or one.headline]


def best_of_each(kinds: Sequence[Planted]) -> list[str]:
    """The best signals of each kind of glitch, always with `mislabeled` and `anomalous`."""
    best = dict.fromkeys(HEADLINES)
    best |= dict.fromkeys(one.name for kind in kinds for one in kind.signals[:_EACH])
    known = {one.name for kind in kinds for one in kind.signals}
    return [name for name in best if name in known]
