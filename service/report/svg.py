"""SVG elements as text: tags, attributes and words are escaped, numbers are rounded to a hundredth of a pixel."""

from collections.abc import Sequence
from html import escape

_NARROW, _BROAD = frozenset(" .,:;|!'`ijlIft()[]"), frozenset("mwMW@%")


def drawing(width: float, height: float, label: str, *parts: str) -> str:
    """An `svg` element for HTML that says `label` to a screen reader. The size is in pixels of a text of 16; it grows with it."""
    box = f"0 0 {_number(width)} {_number(height)}"
    return element("svg", *parts, viewBox=box, width=f"{width / 16:.2f}rem", role="img", aria_label=label)


def bar(share: float) -> str:
    """A bar whose length is a share of 1. Its value stands beside it, so screen readers pass over it."""
    filled = rectangle(0, 0, 100 * min(1.0, max(0.0, share)), 1, "part")
    return element(
        "svg",
        filled,
        viewBox="0 0 100 1",
        preserveAspectRatio="none",
        kind="bar",
        aria_hidden="true",
        focusable="false",
    )


def element(tag: str, *parts: str, **attributes: str | float) -> str:
    """An element around `parts`, which are markup. In attributes `_` stands for `-`, and `kind` for `class`."""
    written = "".join(
        f' {"class" if name == "kind" else name.replace("_", "-")}="{_value(value)}"'
        for name, value in attributes.items()
        if value != ""
    )
    return f"<{tag}{written}>{''.join(parts)}</{tag}>"


def words(text: str, x: float, y: float, *, anchor: str = "", kind: str = "", turn: float = 0) -> str:
    """Text whose baseline begins at (x, y), or ends or is centred there (`anchor`), turned by `turn` degrees."""
    place: dict[str, str | float] = {"x": x, "y": y}
    if turn:
        place = {"transform": f"translate({_number(x)} {_number(y)}) rotate({_number(turn)})"}
    return element("text", escape(text), **place, text_anchor=anchor, kind=kind)


def line(start: tuple[float, float], end: tuple[float, float], kind: str) -> str:
    """A straight line."""
    return path([start, end], kind)


def path(points: Sequence[tuple[float, float]], kind: str) -> str:
    """Straight lines from point to point."""
    return element("path", d="M" + " ".join(f"{_number(x)} {_number(y)}" for x, y in points), kind=kind)


def rectangle(x: float, y: float, width: float, height: float, kind: str, **attributes: float) -> str:
    """A rectangle whose upper left corner is (x, y)."""
    return element("rect", x=x, y=y, width=width, height=height, kind=kind, **attributes)


def width_of(text: str, size: float = 12) -> float:
    """The width of a text in pixels in a usual sans-serif font; an estimate on the safe side, for margins."""
    return size * sum(map(_share_of_em, text))


def _share_of_em(character: str) -> float:
    if character in _NARROW:
        return 0.36
    if character in _BROAD:
        return 0.95
    if ord(character) > 0x2E7F:  # scripts of East Asia begin there
        return 1.0
    return 0.72 if character.isupper() else 0.6


def _value(value: str | float) -> str:
    return escape(value) if isinstance(value, str) else _number(value)


def _number(value: float) -> str:
    return f"{value:z.2f}".rstrip("0").rstrip(".")
