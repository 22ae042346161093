"""Which figures a report has, drawn as SVG. Only this and service.report.plots load the plotting library."""

import io
import threading
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from service.domain.signal import HEADLINES
from service.report import plots
from service.report.facts import Facts
from service.report.svg import inline
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

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, in the page's font
    "text.parse_math": False,  # a label may hold dollars
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": plots.INK,
    "axes.labelcolor": plots.INK,
    "axes.titlesize": "medium",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "font.size": 12,
    "grid.color": plots.GREY,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "lines.markersize": 4,
    "text.color": plots.INK,
    "xtick.color": plots.INK,
    "ytick.color": plots.INK,
}
# Its settings, its fonts and its caches belong to the process; requests are answered by threads.
_DRAWING = threading.Lock()


def draw(facts: Facts) -> dict[str, str]:
    """The figures that these facts allow, by name, each an `svg` element. The same facts give the same bytes."""
    with _DRAWING, mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        # Its font is for measuring only, so it matters little what it lacks.
        warnings.filterwarnings("ignore", message=".*missing from (current )?font")
        return {name: svg for name, (told, figure) in _FIGURES.items() if (svg := _drawn(name, told, figure(facts)))}


def _drawn(name: str, told: str, figure: Figure | None) -> str:
    if figure is None:
        return ""
    mpl.rcParams["svg.hashsalt"] = name  # ids differ from figure to figure, and never from time to time
    written = io.StringIO()
    figure.savefig(written, format="svg")
    return inline(written.getvalue(), plots.INK, told)


def _course(facts: Facts) -> Figure | None:
    return plots.course(facts.course) if facts.course else None


def _scores(facts: Facts) -> Figure:
    return plots.scores(facts.scores)


def _classes(facts: Facts) -> Figure | None:
    shown = flagged_classes(facts, LARGEST)
    if not shown:
        return None
    parts = {
        verdict: [one.verdicts.get(verdict, 0) / one.samples for one in shown]
        for verdict in HEADLINES
        if facts.verdicts.get(verdict)
    }
    return plots.bars([one.label for one in shown], parts, plots.COLOURS, "share of the label's samples", percent=True)


def _confusions(facts: Facts) -> Figure | None:
    names = confused_classes(facts)
    if not names:
        return None
    counts = confusion_matrix(facts.confusions, names)
    words = [[str(count) if count else "" for count in row] for row in counts]
    return plots.heat(names, names, counts, words, ("given label", "suggested label"))


def _correlations(facts: Facts) -> Figure | None:
    shown = familiar_signals(facts)
    if len(shown) < 2:
        return None
    values = correlations(shown)
    words = [["" if value is None else f"{value:z.1f}" for value in row] for row in values]
    names = [signal.name for signal in shown]
    return plots.heat(names, names, values, words, largest=1)


def _spreads(facts: Facts) -> Figure | None:
    shown = familiar_signals(facts)
    return plots.spreads(shown) if shown else None


def _planted(facts: Facts) -> Figure | None:
    if not facts.planted:
        return None
    shown = best_signals(facts.planted[0])
    values = {"all": [one.average_precision for one in shown]}
    colours = {"all": [plots.RED if one.headline else plots.GREY for one in shown]}
    chance = facts.planted[0].count / facts.samples
    return plots.bars([one.name for one in shown], values, colours, "average precision", chance=chance)


def _kinds(facts: Facts) -> Figure | None:
    kinds = facts.planted[1:]
    if not kinds:
        return None
    names = best_of_each(kinds)
    found = [{one.name: one.average_precision for one in kind.signals} for kind in kinds]
    values = [[precisions[name] for precisions in found] for name in names]
    words = [[f"{value:.2f}" for value in row] for row in values]
    return plots.heat(names, [kind.kind.replace("_", " ") for kind in kinds], values, words, largest=1)


_FIGURES: dict[str, tuple[str, Callable[[Facts], Figure | None]]] = {
    "course": ("Loss and accuracy of each epoch", _course),
    "scores": ("Histogram of the score mislabeled, by verdict", _scores),
    "classes": ("Share of flagged samples of each label", _classes),
    "confusions": ("How many samples of each given label look like each suggested label", _confusions),
    "planted": ("Average precision of the signals on what was planted", _planted),
    "kinds": ("Average precision of the signals on each kind that was planted", _kinds),
    "correlations": ("Rank correlations between signals", _correlations),
    "spreads": ("Histograms of signals", _spreads),
}
