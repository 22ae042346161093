"""Rows of rankings as the text in which they are shown, kept in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

KEPT = 20_000  # rows, of about three kilobytes each


@dataclass(frozen=True)
class RankedText:
    """One row of a ranking. Each text is a part of a JSON object; `values` are those of the signals that were computed."""

    id: str
    given: str
    suggested: str
    sample: str
    labels: str
    verdict: str
    values: Mapping[str, float]

    def shown(self, signals: Sequence[str] | None) -> str:
        """The values of these signals as a JSON object; None: of all."""
        return self._every if signals is None else _object({name: self.values[name] for name in signals})

    @cached_property
    def _every(self) -> str:
        return _object(self.values)


def _object(values: Mapping[str, float]) -> str:
    # Scores are finite (a contract of rankings), and Python writes finite floats as JSON does.
    return "{" + ",".join(f'"{name}":{value!r}' for name, value in values.items()) + "}"
