"""Second opinions: which labels more than one person judged, and who agrees with what holds in the end."""

from collections import defaultdict
from dataclasses import dataclass

import sqlalchemy as sa

from service.domain.review import Review
from service.store import rankings, reviews
from service.store.answers import restated

_LISTED = 100


@dataclass(frozen=True)
class ReviewerAgreement:
    """One reviewer: samples judged, those of them that others judged too, and for how many of these the same holds now."""

    reviewer: str | None
    judged: int
    shared: int
    agreed: int


@dataclass(frozen=True)
class Dispute:
    """A sample on which people differ: what each said last, and what holds."""

    sample_id: str
    said: list[Review]
    holds: Review | None


@dataclass(frozen=True)
class SecondOpinions:
    """Agreement of each reviewer, the busiest first, and the samples on which people differ: the first hundred by id."""

    reviewers: list[ReviewerAgreement]
    disputed: list[Dispute]


def second_opinions(connection: sa.Connection, job_id: str) -> SecondOpinions:
    """Agreement and disputes over all reviewed samples of a job."""
    held = reviews.latest(connection, job_id)
    said: dict[str, list[Review]] = defaultdict(list)
    for review in restated(connection, job_id, list(held)):
        said[review.sample_id].append(review)
    given = rankings.given_labels(connection, job_id, list(said))
    holds = {name: _word(held[name].about(given[name])) for name in said}
    judged: dict[str | None, list[bool | None]] = defaultdict(list)
    for name, all_said in said.items():
        for review in all_said:
            judged[review.reviewer].append(_word(review) == holds[name] if len(all_said) > 1 else None)
    disputed = [name for name, all_said in said.items() if len({_word(review) for review in all_said}) > 1]
    return SecondOpinions(
        reviewers=[
            ReviewerAgreement(
                reviewer, len(words), sum(word is not None for word in words), sum(word is True for word in words)
            )
            for reviewer, words in sorted(judged.items(), key=lambda item: (-len(item[1]), item[0] or ""))
        ],
        disputed=[Dispute(name, said[name], held[name].about(given[name])) for name in sorted(disputed)[:_LISTED]],
    )


def _word(review: Review) -> tuple[str, str | None]:
    return review.decision, review.label
