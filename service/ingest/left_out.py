"""Reasons why columns are not learnt from, and the warnings that name them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.dataset import ClientWarning
from service.ingest.faults import listed


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
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name, reason in reasons.items():
        if reason.code:
            names[reason.code, reason.why].append(name + reason.note)
    return [
        ClientWarning(code=code, detail=f"left out, {why}: {listed(found)}") for (code, why), found in names.items()
    ]
