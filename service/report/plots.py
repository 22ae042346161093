"""The plots of a report: values in, marks on axes out. Colours that stand on light and on dark paper alike."""

from collections.abc import Mapping, Sequence

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from service.report.facts import Epoch, Scores, SignalFacts

INK = "#010203"  # stands for the colour of the page's own text
RED, BLUE, GREY = "#d1532f", "#4a86c8", "#8c867c"
COLOURS = {"mislabeled": RED, "anomalous": BLUE, "clean": GREY}

_WIDE, _PIXELS = 720, 72  # units of a full figure; matplotlib counts inches
_ROW = 26  # units of a bar or of a field
_NAME = 24  # characters of a label that are shown


def sheet(width: float, height: float) -> Figure:
    """An empty figure, in the units of the page."""
    return Figure(figsize=(width / _PIXELS, height / _PIXELS), layout="constrained")


def short(name: str) -> str:
    """A label as an axis shows it: on one line, and without what XML cannot hold."""
    name = " ".join("".join(one if one.isprintable() else " " for one in name).split())
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def course(epochs: Sequence[Epoch]) -> Figure:
    """Loss and accuracy over the epochs."""
    figure = sheet(_WIDE, 240)
    loss, accuracy = figure.subplots(1, 2)
    numbers = [epoch.number for epoch in epochs]
    marker = "o" if len(epochs) <= 30 else ""
    loss.plot(numbers, [epoch.loss for epoch in epochs], color=RED, marker=marker)
    accuracy.plot(numbers, [epoch.accuracy for epoch in epochs], color=BLUE, marker=marker)
    loss.set_title("Loss")
    accuracy.set_title("Accuracy")
    loss.set_ylim(bottom=0)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    for axes in (loss, accuracy):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    return figure


def scores(found: Scores) -> Figure:
    """How the samples spread over the score, by verdict, with the cut-off."""
    figure = sheet(_WIDE, 260)
    axes = figure.subplots()
    below = [0] * (len(found.edges) - 1)
    for verdict in ("clean", "anomalous", "mislabeled"):
        counts = found.counts.get(verdict)
        if counts is None:
            continue
        above = [low + more for low, more in zip(below, counts, strict=True)]
        axes.stairs(above, found.edges, baseline=below, fill=True, color=COLOURS[verdict], label=_told(verdict, counts))
        below = above
    axes.axvline(0.5, color=INK, linestyle="--", linewidth=1)
    axes.set_xlabel("score; the dashed line is the cut-off")
    axes.set_ylabel("samples")
    axes.set_xlim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.legend()
    return figure


def _told(verdict: str, counts: Sequence[int]) -> str:
    return f"{verdict} ({sum(counts):,})"


def bars(
    names: Sequence[str],
    values: Mapping[str, Sequence[float]],
    colours: Mapping[str, str | Sequence[str]],
    what: str,
    *,
    percent: bool = False,
    chance: float | None = None,
) -> Figure:
    """One bar a name, from the top; several values of a name follow each other on its bar. A line marks `chance`.

    A part of all bars has one colour, or one for each of them.
    """
    figure = sheet(_WIDE, 70 + _ROW * len(names))
    axes = figure.subplots()
    places, left = range(len(names)), [0.0] * len(names)
    for part, lengths in values.items():
        axes.barh(places, lengths, left=left, height=0.7, color=colours[part], label=part)
        left = [start + length for start, length in zip(left, lengths, strict=True)]
    if chance is not None:
        axes.axvline(chance, color=INK, linestyle="--", linewidth=1)
    if percent:
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=None))
    axes.set_yticks(places, [short(name) for name in names])
    axes.invert_yaxis()
    axes.set_xlabel(what)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.margins(y=0.02)
    if len(values) > 1:
        axes.legend()
    return figure


def heat(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    words: Sequence[Sequence[str]],
    titles: tuple[str, str] = ("", ""),
    largest: float | None = None,
) -> Figure:
    """A field for each row and column, the fuller the larger its value; blue below zero. `words` stand in them."""
    figure = sheet(min(_WIDE, 200 + 50 * len(columns)), 130 + _ROW * len(rows))
    axes = figure.subplots()
    if largest is None:
        largest = max((abs(value) for row in values for value in row if value is not None), default=0)
    fields = [[_tint(value, largest) for value in row] for row in values]
    edges = range(len(columns) + 1), range(len(rows) + 1)
    axes.pcolormesh(*edges, fields, edgecolors=[(*to_rgb(GREY), 0.25)], linewidth=0.5)
    for row, said in enumerate(words):
        for column, word in enumerate(said):
            axes.text(column + 0.5, row + 0.5, word, ha="center", va="center", fontsize=11, in_layout=False)
    axes.set_xticks([place + 0.5 for place in range(len(columns))], [short(name) for name in columns], rotation=40)
    axes.set_yticks([place + 0.5 for place in range(len(rows))], [short(name) for name in rows])
    for label in axes.get_xticklabels():
        label.set(ha="right", rotation_mode="anchor")
    axes.set_ylabel(titles[0])
    axes.set_xlabel(titles[1])
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _tint(value: float | None, largest: float) -> tuple[float, float, float, float]:
    # The paper shines through, so that text on it can be read whatever the paper's colour.
    if value is None or not largest:
        return (*to_rgb(GREY), 0.0)
    return (*to_rgb(RED if value >= 0 else BLUE), 0.85 * min(1.0, abs(value) / largest))


def spreads(signals: Sequence[SignalFacts]) -> Figure:
    """How the samples spread over each signal, in small."""
    columns = 4
    rows = -(-len(signals) // columns)
    figure = sheet(_WIDE, 110 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, signal in zip(grid.flat, signals, strict=False):
        axes.stairs(signal.counts, signal.edges, fill=True, color=RED if signal.headline else GREY)
        axes.set_title(signal.name, fontsize=11)
        axes.set_yticks([])
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
    for axes in grid.flat[len(signals) :]:
        axes.set_axis_off()
    return figure
