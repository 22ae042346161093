"""Decisions of people, in the forms in which they come."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from usual_suspects.client.errors import Invalid
from usual_suspects.client.names import is_missing

# The API takes a list whole, of at most 16 MiB.
AT_ONCE = 10_000
_FIELDS = ("sample_id", "decision", "label", "reviewer")

Text = Callable[[Any], str]
# Decisions as the API takes them, and the place of each in what was given.
Part = tuple[list[dict[str, Any]], list[int]]


def decisions_of(
    samples: Any, shared: Mapping[str, Any], sample_name: Text = str, class_name: Text = str
) -> Iterator[Part]:
    """Decisions as the API takes them, at most `AT_ONCE` in a part; at least one part.

    `samples` is an id, several ids, rows with the fields of a decision, or a frame with such columns. `shared` are the fields that
    hold where a row has none. Rows without a decision are left out, as in a ranking whose column `decision` was filled in. Raises
    Invalid where all are, TypeError for what is no id and no row.
    """
    part: list[dict[str, Any]] = []
    places: list[int] = []
    sent = left_out = 0
    for place, row in enumerate(_rows(samples)):
        is_row = isinstance(row, Mapping)
        found = {**_filled(shared), **(_filled(_known(row)) if is_row else {"sample_id": row})}
        if is_row and "decision" not in found:
            left_out += 1
            continue
        if "label" not in found and is_row and found.get("decision") == "relabel":
            found |= _filled({"label": row.get("decided_label")})  # as an export has it
        found["sample_id"] = sample_name(found["sample_id"])
        if "label" in found:
            found["label"] = class_name(found["label"])
        part.append(found)
        places.append(place)
        if len(part) == AT_ONCE:
            yield part, places
            sent, part, places = sent + 1, [], []
    if left_out and not part and not sent:
        raise Invalid("No decisions", "no row has a decision: fill in `decision`, or give one for all rows")
    if part or not sent:
        yield part, places


def at_given_places(error: Invalid, places: Sequence[int]) -> Invalid:
    """The error with the places of its faults in what was given, not in what was sent."""
    faults = []
    for fault in error.errors:
        match fault["loc"]:
            case [int(place), *rest] if place < len(places):
                faults.append({**fault, "loc": [places[place], *rest]})
            case _:
                faults.append(fault)
    told = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in faults)
    return Invalid(error.title, told or error.detail, faults, status=error.status, members=error.members)


def _rows(samples: Any) -> Iterable[Any]:
    if hasattr(samples, "to_dicts"):  # polars
        return list(samples.to_dicts())
    if hasattr(samples, "to_pylist"):  # Arrow
        return list(samples.to_pylist())
    if hasattr(samples, "columns") and hasattr(samples, "to_dict"):  # pandas
        return list(samples.to_dict("records"))
    if (
        isinstance(samples, str | bytes | Mapping)
        or not hasattr(samples, "__iter__")
        or getattr(samples, "shape", None) == ()
    ):
        return [samples]
    return samples if isinstance(samples, Iterable) else list(samples)


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    if "sample_id" not in row:
        raise TypeError(f"a decision is an id, or a mapping with {', '.join(_FIELDS)}; this is {row!r}")
    return {"sample_id": row["sample_id"], **{name: row[name] for name in _FIELDS if name in row}}


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in which something stands; a frame has None, NaN or NA, a table of texts an empty one, where nothing does."""
    return {
        name: value
        for name, value in row.items()
        if name == "sample_id" or not (is_missing(value) or (isinstance(value, str) and not value.strip()))
    }
