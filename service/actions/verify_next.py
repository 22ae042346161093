"""Proposals of samples that are worth verifying first, as a trusted reference."""

from dataclasses import dataclass

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
        found = rankings.summary(connection, job.id, _PROPOSALS)
        positions = found.get("positions", [])
        columns = services.open_rankings.get(connection, services.blobs, job.id).columns
        left: list[Row] = []
        # Rows have a column for every signal: no more of them are read than it takes.
        for start in range(0, len(positions), count):
            proposed = rankings.rows_at(connection, job.id, columns, positions[start : start + count])
            decided = reviews.latest(connection, job.id, [row["sample_id"] for row in proposed])
            left += [row for row in proposed if row["sample_id"] not in decided]
            if len(left) >= count:
                break
    places = {position: place for place, position in enumerate(positions)}
    return [
        VerificationProposal(row, _why(row["given_label"], *(found[name][places[row["position"]]] for name in _COUNTS)))
        for row in left[:count]
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
