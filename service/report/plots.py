"""The plots of a report: values in, the text of an `svg` element out. The style sheet of the page has the colours."""

from collections.abc import Mapping, Sequence
from itertools import compress, pairwise
from math import cos, radians, sin

from service.report.axes import Axes, Scale, Ticks, room, ticks, widest
from service.report.facts import Epoch, Scores, SignalFacts
from service.report.svg import drawing, element, line, path, rectangle, width_of, words

# Classes of report.css.
RED, BLUE, GREY, AMBER = "red", "blue", "grey", "amber"
COLOURS = {"not_judged": GREY, "clean": GREY, "anomalous": AMBER, "mislabeled": RED}  # from the bottom of a column
NAMES = {
    "not_judged": "not judged",
    "clean": "looks fine",
    "anomalous": "unlike its class",
    "mislabeled": "looks wrong",
}

_WIDE = 560  # pixels of a figure of a panel; two stand side by side
_NARROW = 440  # pixels of the figure of the summary, which is shown whole on a phone too
_ROW = 26  # pixels of a bar or of a row of fields
_FIELD = 50  # pixels of a column of fields
_BOTTOM = 40  # pixels for the numbers and the title below a plot
_GAP = 10  # pixels between parts
_NAME = 24  # characters of a label that are shown
_TURN = -40  # degrees of labels below columns
_FULLEST = 0.7  # opacity of the largest value: text on it has a contrast of 4.5 or more in light and in dark
_MARKED = 30  # epochs that are marked one by one

Table = Sequence[Sequence[float | None]]


def short(name: str) -> str:
    """A label as an axis shows it: on one line, without control characters, at most 24 characters."""
    name = " ".join("".join(one if one.isprintable() else " " for one in name).split())
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def training(epochs: Sequence[Epoch], label: str) -> str:
    """Loss and accuracy by epoch, side by side."""
    numbers = [epoch.number for epoch in epochs]
    losses, accuracies = [epoch.loss for epoch in epochs], [epoch.accuracy for epoch in epochs]
    half = (_WIDE - 2 * _GAP) / 2
    loss = _curve("Loss", numbers, losses, (0.0, room(0, max(losses))[1]), 0, half, RED)
    reached = room(min(accuracies), max(accuracies)) if len(set(accuracies)) > 1 else (0.0, 1.0)
    accuracy = _curve("Accuracy", numbers, accuracies, reached, half + 2 * _GAP, half, BLUE, percent=True)
    return drawing(_WIDE, 240, label, loss, accuracy)


def _curve(
    title: str,
    numbers: Sequence[int],
    values: Sequence[float],
    limits: tuple[float, float],
    left: float,
    width: float,
    colour: str,
    *,
    percent: bool = False,
) -> str:
    marks = ticks(*limits, 6, percent=percent)
    start = left + widest(marks) + _GAP
    x = Scale(*(room(numbers[0], numbers[-1])), start, left + width)
    axes = Axes(x, Scale(*limits, 240 - _BOTTOM, 26))
    whole = ticks(numbers[0], numbers[-1], 8, whole=True) if len(numbers) > 1 else Ticks(numbers, [str(numbers[0])])
    points = [(axes.x(number), axes.y(value)) for number, value in zip(numbers, values, strict=True)]
    dots = "".join(element("circle", cx=at, cy=height, r=2.5, kind=colour) for at, height in points)
    return "".join(
        (
            words(title, (start + left + width) / 2, 14, anchor="middle", kind="title"),
            axes.across(whole, "epoch"),
            axes.upwards(marks),
            path(points, f"curve {colour}"),
            dots if len(points) <= _MARKED else "",
        )
    )


def scores(found: Scores, label: str) -> str:
    """A histogram of the score, stacked by verdict, with the cut-off at 0.5."""
    present = [verdict for verdict in COLOURS if verdict in found.counts]
    totals = [sum(column) for column in zip(*(found.counts[verdict] for verdict in present), strict=True)]
    highest = max(totals, default=0)
    marks = ticks(0, 1.05 * highest, 6, whole=True)
    x = Scale(0, 1, widest(marks) + 3 * _GAP, _NARROW - _GAP)
    axes = Axes(x, Scale(0, 1.05 * max(1, highest), 260 - _BOTTOM, 28))
    parts = [axes.across(ticks(0, 1, 5), "score; from the dashed line on a label looks wrong"), axes.upwards(marks)]
    below = [0] * len(totals)
    for verdict in present:
        above = [low + more for low, more in zip(below, found.counts[verdict], strict=True)]
        parts.append(_stairs(axes, found.edges, below, above, COLOURS[verdict]))
        below = above
    parts.append(line((x(0.5), 260 - _BOTTOM), (x(0.5), 28), "limit"))
    parts.append(words("samples", 12, (288 - _BOTTOM) / 2, anchor="middle", turn=-90))
    named = {NAMES[verdict]: COLOURS[verdict] for verdict in present}
    return drawing(_NARROW, 260, label, *parts, _legend(named, x.start))


def _stairs(axes: Axes, edges: Sequence[float], below: Sequence[float], above: Sequence[float], colour: str) -> str:
    """The area between two rows of steps, one a bin."""
    bins = list(pairwise(edges))
    there = [
        (axes.x(side), axes.y(top)) for (left, right), top in zip(bins, above, strict=True) for side in (left, right)
    ]
    back = [
        (axes.x(side), axes.y(low)) for (left, right), low in zip(bins, below, strict=True) for side in (left, right)
    ]
    return path(there + back[::-1], colour)


def _legend(named: Mapping[str, str], left: float) -> str:
    """What each colour means, in a row at the top."""
    parts = []
    for name, colour in named.items():
        parts += [rectangle(left, 4, 11, 11, colour), words(name, left + 16, 14)]
        left += 16 + width_of(name) + 2 * _GAP
    return "".join(parts)


def bars(
    names: Sequence[str],
    values: Mapping[str, Sequence[float]],
    colours: Mapping[str, Sequence[str]],
    title: str,
    label: str,
    *,
    percent: bool = False,
    chance: float | None = None,
) -> str:
    """A bar a name, from the top; the parts of `values` follow each other on it. A dashed line marks `chance`.

    `colours` has, for each part, the colour of each bar.
    """
    top = 24 if len(values) > 1 else 4
    height = top + _ROW * len(names)
    longest = max((sum(lengths) for lengths in zip(*values.values(), strict=True)), default=0.0)
    right = 1.05 * max(longest, chance or 0.0) or 1.0
    start = max(width_of(short(name)) for name in names) + _GAP
    axes = Axes(Scale(0, right, start, _WIDE - 2 * _GAP), Scale(0, 1, height, top))
    parts = [axes.across(ticks(0, right, 8, percent=percent), title)]
    ends = [0.0] * len(names)
    for part, lengths in values.items():
        for row, length in enumerate(lengths):
            left = axes.x(ends[row])
            ends[row] += length
            if length:
                at = top + _ROW * (row + 0.15)
                parts.append(rectangle(left, at, axes.x(ends[row]) - left, 0.7 * _ROW, colours[part][row]))
    parts += [
        words(short(name), start - 6, top + _ROW * (row + 0.5) + 4, anchor="end") for row, name in enumerate(names)
    ]
    if chance is not None:
        parts.append(line((axes.x(chance), height), (axes.x(chance), top), "limit"))
    if len(values) > 1:
        parts.append(_legend({NAMES[part]: colours[part][0] for part in values}, start))
    return drawing(_WIDE, height + _BOTTOM, label, *parts)


def heat(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Table,
    inside: Sequence[Sequence[str]],
    label: str,
    titles: tuple[str, str] = ("", ""),
    largest: float | None = None,
) -> str:
    """A field a row and column, the fuller the larger its value, blue below zero, with the words of `inside` on it.

    `largest` is the value of the fullest field; the largest of all when it is not given. None stays empty.
    """
    shown, below = [short(name) for name in rows], [short(name) for name in columns]
    start = max(map(width_of, shown)) + _GAP + (18 if titles[0] else 0)
    # A label below a column ends under its middle and reaches down and to the left.
    reach = [(width_of(name) * cos(radians(_TURN)), width_of(name) * -sin(radians(_TURN))) for name in below]
    wide = min(_FIELD, (_WIDE - start) / len(columns))
    start = max(start, *(across - (place + 0.5) * wide for place, (across, _) in enumerate(reach)))
    wide = min(_FIELD, (_WIDE - start) / len(columns))
    if largest is None:
        largest = max((abs(value) for row in values for value in row if value is not None), default=0)
    height = _ROW * len(rows)
    depth = 14 + max(down for _, down in reach)
    parts: list[str] = []
    for row, found in enumerate(values):
        for column, value in enumerate(found):
            x, y = start + column * wide, row * _ROW
            if value and largest:
                fullness = _FULLEST * min(1.0, abs(value) / largest)
                parts.append(rectangle(x, y, wide, _ROW, RED if value > 0 else BLUE, fill_opacity=fullness))
            if inside[row][column]:
                parts.append(words(inside[row][column], x + wide / 2, y + _ROW / 2 + 4, anchor="middle", kind="small"))
    parts += [line((start, at * _ROW), (start + wide * len(columns), at * _ROW), "grid") for at in range(len(rows) + 1)]
    parts += [line((start + at * wide, 0), (start + at * wide, height), "grid") for at in range(len(columns) + 1)]
    parts += [words(name, start - 6, (row + 0.5) * _ROW + 4, anchor="end") for row, name in enumerate(shown)]
    parts += [
        words(name, start + (column + 0.5) * wide + 4, height + 14, anchor="end", turn=_TURN)
        for column, name in enumerate(below)
    ]
    if titles[0]:
        parts.append(words(titles[0], 12, height / 2, anchor="middle", turn=-90))
    if titles[1]:
        parts.append(words(titles[1], start + wide * len(columns) / 2, height + depth + 14, anchor="middle"))
    return drawing(start + wide * len(columns) + 1, height + depth + (20 if titles[1] else 0), label, *parts)


def _fitting(scale: Scale) -> Ticks:
    """The most ticks whose numbers have room side by side, and beyond the ends of the scale by no more than the gap."""
    for most in (3, 2, 1):
        found = ticks(scale.low, scale.high, most)
        halves = [width_of(word) / 2 for word in found.words]
        spans = [(scale(value) - half, scale(value) + half) for value, half in zip(found.values, halves, strict=True)]
        fit = [left >= scale.start - _GAP and right <= scale.end + _GAP for left, right in spans]
        kept = [span for span, fits in zip(spans, fit, strict=True) if fits]
        if kept and all(right + _GAP / 2 <= left for (_, right), (left, _) in pairwise(kept)):
            return Ticks(list(compress(found.values, fit)), list(compress(found.words, fit)))
    return Ticks([], [])


def spreads(signals: Sequence[SignalFacts], label: str) -> str:
    """A small histogram of each signal, four in a row."""
    columns, high = 4, 110
    wide = _WIDE / columns
    parts = []
    for place, signal in enumerate(signals):
        left, top = wide * (place % columns), high * (place // columns)
        low, up = signal.edges[0], signal.edges[-1]
        axes = Axes(
            Scale(low, up, left + _GAP, left + wide - _GAP), Scale(0, max(1, *signal.counts), top + 86, top + 24)
        )
        flat = [0] * len(signal.counts)
        parts += [
            words(signal.name, left + wide / 2, top + 16, anchor="middle", kind="small"),
            axes.across(_fitting(axes.x), "", grid=False),
            _stairs(axes, signal.edges, flat, signal.counts, RED if signal.headline else GREY),
        ]
    return drawing(_WIDE, high * -(-len(signals) // columns), label, *parts)
