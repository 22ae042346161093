"""Counts over a ranking, made by the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from service.domain.verdict import FLAGGED
from service.store.tables import suspects


@dataclass(frozen=True)
class ClassTally:
    """The samples that carry one label, by verdict."""

    label: str
    verdicts: Mapping[str, int]

    @property
    def samples(self) -> int:
        """How many there are in all."""
        return sum(self.verdicts.values())

    @property
    def flagged(self) -> int:
        """How many of them are mislabeled or anomalous."""
        return sum(self.verdicts.get(verdict, 0) for verdict in FLAGGED)


@dataclass(frozen=True)
class Confusion:
    """How many samples flagged as mislabeled carry one label and look like another."""

    given: str
    suggested: str
    count: int


def by_class(connection: sa.Connection, job_id: str) -> list[ClassTally]:
    """Every given label, by name."""
    rows = connection.execute(
        sa.select(suspects.c.given_label, suspects.c.verdict, sa.func.count().label("number"))
        .where(suspects.c.job_id == job_id)
        .group_by(suspects.c.given_label, suspects.c.verdict)
    )
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        found.setdefault(row.given_label, {})[row.verdict] = row.number
    return [ClassTally(label, found[label]) for label in sorted(found)]


def confusions(connection: sa.Connection, job_id: str, limit: int) -> list[Confusion]:
    """The commonest pairs of given and suggested label, of samples flagged as mislabeled."""
    given, suggested, number = suspects.c.given_label, suspects.c.suggested_label, sa.func.count().label("number")
    rows = connection.execute(
        sa.select(given, suggested, number)
        .where(suspects.c.job_id == job_id, suspects.c.verdict == "mislabeled", given != suggested)
        .group_by(given, suggested)
        .order_by(number.desc(), given, suggested)
        .limit(limit)
    )
    return [Confusion(row.given_label, row.suggested_label, row.number) for row in rows]


def histogram(connection: sa.Connection, job_id: str, by: str, edges: Sequence[float]) -> dict[str, list[int]]:
    """Number of scores in each interval between two `edges`, by verdict; values outside count in the first or last interval."""
    last = len(edges) - 2
    score = suspects.c[by]
    # Not by rounding: databases differ in how they round.
    place = sa.case(*((score < edge, number) for number, edge in enumerate(edges[1:-1])), else_=last).label("place")
    rows = connection.execute(
        sa.select(suspects.c.verdict, place, sa.func.count().label("number"))
        .where(suspects.c.job_id == job_id, score.is_not(None))
        .group_by(suspects.c.verdict, place)
    )
    counts: dict[str, list[int]] = {}
    for row in rows:
        counts.setdefault(row.verdict, [0] * (last + 1))[row.place] += row.number
    return counts
