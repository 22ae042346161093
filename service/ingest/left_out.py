"""Reasons why columns are not learnt from, and the warnings that name them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.dataset import ClientWarning
from service.domain.errors import Invalid
from service.ingest.faults import invalid, listed


@dataclass(frozen=True)
class LeftOut:
    """Why a column is not learnt from. `code` is that of the warning, empty where the client asked for it.

    `note` is said beside the name of this column alone.
    """

    code: str
    why: str
    note: str = ""


def left_out_warnings(reasons: Mapping[str, LeftOut]) -> list[ClientWarning]:
    """One warning for each reason, with the columns that it holds for."""
    return [
        ClientWarning(code=code, detail=f"left out: {listed(names)}; {why}")
        for (code, why), names in _by_reason(reasons).items()
        if code
    ]


def nothing_to_learn(reasons: Mapping[str, LeftOut]) -> Invalid:
    """The error of an upload that has no column to learn from, with the reason for each that it has."""
    found = [f"{listed(names)} ({why})" for (_, why), names in _by_reason(reasons).items()]
    return invalid(
        f"nothing to learn from: beside label, id and split there is {'; '.join(found) or 'no column'}. "
        "To learn from a column all the same, also from the one that was taken for the id, name it in spec.features"
    )


def _by_reason(reasons: Mapping[str, LeftOut]) -> Mapping[tuple[str, str], list[str]]:
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, reason in reasons.items():
        names[reason.code, reason.why].append(name + reason.note)
    return names
