"""The figures of a report, as `svg` elements by name. Pure: the same facts give the same text."""

from collections.abc import Callable

from service.domain.signal import HEADLINES
from service.report import plots
from service.report.facts import Facts, Scores
from service.report.tables import (
    LARGEST,
    best_of_each,
    best_signals,
    confused_classes,
    confusion_matrix,
    correlations,
    familiar_signals,
    flagged_classes,
)

Figure = Callable[[Facts, str], str]


def draw(facts: Facts) -> dict[str, str]:
    """The figures that these facts allow, by name."""
    return {name: svg for name, (label, figure) in _FIGURES.items() if (svg := figure(facts, label))}


def _training(facts: Facts, label: str) -> str:
    return plots.training(facts.epochs, label) if facts.epochs else ""


def _scores(facts: Facts, label: str) -> str:
    counts = {facts.shown(verdict): found for verdict, found in facts.scores.counts.items()}
    return plots.scores(Scores(facts.scores.edges, counts), label)


def _classes(facts: Facts, label: str) -> str:
    flagged = flagged_classes(facts, LARGEST)
    if not flagged:
        return ""
    verdicts = [verdict for verdict in HEADLINES if facts.verdicts.get(verdict)]
    values = {verdict: [one.verdicts.get(verdict, 0) / one.samples for one in flagged] for verdict in verdicts}
    colours = {verdict: [plots.COLOURS[verdict]] * len(flagged) for verdict in verdicts}
    names = [one.label for one in flagged]
    return plots.bars(names, values, colours, "share of the label's samples", label, percent=True)


def _confusions(facts: Facts, label: str) -> str:
    names = confused_classes(facts)
    if not names:
        return ""
    counts = confusion_matrix(facts.confusions, names)
    inside = [[str(count) if count else "" for count in row] for row in counts]
    return plots.heat(names, names, counts, inside, label, ("given label", "suggested label"))


def _correlations(facts: Facts, label: str) -> str:
    signals = familiar_signals(facts)
    if len(signals) < 2:
        return ""
    values = correlations(signals)
    inside = [["" if value is None else f"{value:z.1f}" for value in row] for row in values]
    names = [signal.name for signal in signals]
    return plots.heat(names, names, values, inside, label, largest=1)


def _spreads(facts: Facts, label: str) -> str:
    signals = familiar_signals(facts)
    return plots.spreads(signals, label) if signals else ""


def _planted(facts: Facts, label: str) -> str:
    if not facts.planted:
        return ""
    best = best_signals(facts.planted[0])
    values = {"all": [one.average_precision for one in best]}
    colours = {"all": [plots.RED if one.headline else plots.GREY for one in best]}
    chance = facts.planted[0].count / facts.samples
    return plots.bars([one.name for one in best], values, colours, "average precision", label, chance=chance)


def _kinds(facts: Facts, label: str) -> str:
    kinds = facts.planted[1:]
    if not kinds:
        return ""
    names = best_of_each(kinds)
    precisions = [{one.name: one.average_precision for one in kind.signals} for kind in kinds]
    values = [[by_signal[name] for by_signal in precisions] for name in names]
    inside = [[f"{value:.2f}" for value in row] for row in values]
    return plots.heat(names, [kind.kind.replace("_", " ") for kind in kinds], values, inside, label, largest=1)


_FIGURES: dict[str, tuple[str, Figure]] = {
    "training": ("Loss and accuracy of each epoch", _training),
    "scores": ("Histogram of the score of labels, by verdict", _scores),
    "classes": ("Share of flagged samples of each label", _classes),
    "confusions": ("Number of samples of each given label by suggested label", _confusions),
    "planted": ("Average precision of the signals on planted errors", _planted),
    "kinds": ("Average precision of the signals on each kind of planted error", _kinds),
    "correlations": ("Rank correlations between signals", _correlations),
    "spreads": ("Histograms of signals", _spreads),
}
