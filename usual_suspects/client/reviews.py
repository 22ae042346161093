"""Decisions of people, in the forms in which they come."""

from collections.abc import Iterator, Mapping
from typing import Any

# The API takes a list whole, of at most 16 MiB.
AT_ONCE = 10_000
_FIELDS = ("sample_id", "decision", "label", "reviewer")


def decisions_of(
    samples: Any, decision: str | None, label: str | None, reviewer: str | None
) -> Iterator[list[dict[str, Any]]]:
    """Decisions as the API takes them, at most `AT_ONCE` in a list; at least one list.

    `samples` is an id, several ids, rows with the fields of a decision, or a frame with such columns.
    """
    shared = {"decision": decision, "label": label, "reviewer": reviewer}
    part: list[dict[str, Any]] = []
    sent = False
    for row in _rows(samples):
        found = {**shared, **({"sample_id": row} if isinstance(row, str) else _known(row))}
        part.append({name: value for name, value in found.items() if value is not None})
        if len(part) == AT_ONCE:
            yield part
            part, sent = [], True
    if part or not sent:
        yield part


def _rows(samples: Any) -> Any:
    if isinstance(samples, str | Mapping):
        return [samples]
    if hasattr(samples, "to_dicts"):  # polars
        return samples.to_dicts()
    if hasattr(samples, "to_pylist"):  # Arrow
        return samples.to_pylist()
    if hasattr(samples, "to_dict"):  # pandas
        return samples.to_dict("records") if hasattr(samples, "columns") else samples.tolist()
    return samples


def _known(row: Any) -> dict[str, Any]:
    if not isinstance(row, Mapping) or "sample_id" not in row:
        raise TypeError(f"a decision is an id, or a mapping with {', '.join(_FIELDS)}; this is {row!r}")
    # A frame has NaN, which differs from itself, where nothing stands.
    return {name: row[name] for name in _FIELDS if name in row and row[name] is not None and row[name] == row[name]}
