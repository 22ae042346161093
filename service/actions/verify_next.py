"""Proposals of samples that are worth verifying first, as a trusted reference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.services import Services
from service.store import rankings, reviews
from service.store.jobs import Job
from service.store.rankings import Row

_PROPOSALS = "proposals"
_COUNTS = ("turns", "closer", "among")


@dataclass(frozen=True)
class VerificationProposal:
    """A row of the ranking, and in English why it is proposed."""

    row: Row
    why: str


def verify_next(services: Services, job: Job, count: int) -> list[VerificationProposal]:
    """The first `count` proposals that nobody has reviewed, in their order: the given labels take turns."""
    with services.database.read() as connection:
        found: Mapping[str, Any] = rankings.summaries(connection, job.id).get(_PROPOSALS, {"positions": []})
        columns = services.open_rankings.get(connection, services.blobs, job.id).columns
        proposed = rankings.rows_at(connection, job.id, columns, found["positions"])
        decided = reviews.latest(connection, job.id, [row["sample_id"] for row in proposed])
    places = {position: place for place, position in enumerate(found["positions"])}
    left = [row for row in proposed if row["sample_id"] not in decided][:count]
    return [
        VerificationProposal(row, _why(row["given_label"], *(found[name][places[row["position"]]] for name in _COUNTS)))
        for row in left
    ]


def _why(label: str, turn: int, closer: int, among: int) -> str:
    if turn == 0:
        typical = f"Of {among + 1} samples labelled {label} that were looked at, none is more typical."
        return typical if among else f"The only sample labelled {label}."
    left = among - turn
    if left == 0:
        return f"The last of the samples labelled {label} that were looked at."
    others = f"{left} other sample{'s' * (left > 1)} labelled {label}"
    return f"Closer to it than to any earlier proposal: {closer} of {others}."
