"""Items of a Label Studio annotation's result: classes of the whole input, and of regions of it. Pure.

Classes are choices, a rating (1 to 5 stars) or a taxonomy, of which the first level is the class. An item is of a region
where its value says a place, or where its `id` is that of an item that does (a span, a rectangle).
"""

from collections.abc import Iterable, Mapping
from typing import Any

CLASS_TYPES = ("choices", "rating", "taxonomy")
_PLACES = frozenset({
    "start", "end", "x", "y", "points", "vertices", "rle", "sequence", "ranges", "globalOffsets", "item_index",
})  # fmt: skip


def items_of(annotation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The items of the result; what is no item is left out."""
    return [item for item in annotation.get("result") or () if isinstance(item, dict)]


def regions_of(items: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """By id of a region: the values of all its items, merged."""
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        value = item.get("value")
        if isinstance(value, dict) and says_place(value):
            kept = found.setdefault(str(item.get("id")), {})
            kept |= {name: one for name, one in value.items() if name not in kept}
    return found


def says_place(value: Any) -> bool:
    """Whether a value of a result says a place in the input."""
    return isinstance(value, dict) and not _PLACES.isdisjoint(value)


def is_of_region(item: Mapping[str, Any], regions: Mapping[str, Any]) -> bool:
    """Whether an item is about a region and not about the whole input."""
    value = item.get("value") or {}
    return not _PLACES.isdisjoint(value) or (item.get("id") is not None and str(item["id"]) in regions)


def classes_in(item: Mapping[str, Any]) -> list[Any]:
    """What an item names: choices, a rating as text, or the first level of each path of a taxonomy, once each."""
    value, kind = item.get("value") or {}, str(item.get("type"))
    given = value.get(kind)
    if kind == "rating":
        return [] if given is None else [rating_text(given)]
    if kind == "taxonomy":
        return first_levels(given or ())
    return list(given or [])


def rating_text(rating: Any) -> Any:
    """A rating as the name of its class: 4 and 4.0 are "4"; what is no number stays as it is."""
    return f"{rating:g}" if isinstance(rating, int | float) and not isinstance(rating, bool) else rating


def first_levels(paths: Iterable[Any]) -> list[Any]:
    """The first level of each path of a taxonomy, each once; a path may be a text with slashes left in."""
    return list(dict.fromkeys(path[0] if isinstance(path, list) and path else str(path) for path in paths))


def region_text(region: Mapping[str, Any], whole: Any) -> str | None:
    """The text of a region: what the tool wrote of it, else cut from the whole by its offsets; None where neither is."""
    text = region.get("text")
    if isinstance(text, str) and text.strip():
        return text
    start, end = region.get("start"), region.get("end")
    if isinstance(whole, str) and isinstance(start, int) and isinstance(end, int) and 0 <= start < end <= len(whole):
        return whole[start:end]
    return None
