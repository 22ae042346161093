"""Tools for reviews: decide, list, sum up, compare."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from service.domain.review import DecisionKind
from service.terminal.tools.answer import PageAnswer, ToolAnswer, rounded
from service.terminal.tools.arguments import By, Cursor, Job, Limit
from usual_suspects.client import Client

_LISTS = ("relabelled", "appeared", "vanished", "entered", "left", "moved")


class DecisionRow(BaseModel):
    """What is right about one sample."""

    sample_id: str
    decision: DecisionKind = Field(
        description="relabel: its label shall be `label`. keep: its label is right. remove: leave the sample out. plausible: the label can be defended, though the reviewer would choose another. unsure: no decision. "
        "withdraw: the decision before no longer holds."
    )
    label: str | None = Field(None, description="The right class; only with relabel.")
    reviewer: str | None = Field(None, description="Who decides; with an API key, its name is taken.")


class Recorded(ToolAnswer):
    """Number of recorded decisions."""

    recorded: int
    reviewed: int = Field(description="Samples of the job that have a decision now.")


class ReviewRow(DecisionRow):
    """A decision that was recorded."""

    source: str
    created_at: str


class SummaryAnswer(ToolAnswer):
    """How right the ranking was, by the reviews."""

    samples: int
    flagged: int
    reviewed: int
    outcomes: dict[str, dict[str, int]]
    precision: dict[str, Any] = Field(
        description="Share of what was flagged and decided that is wrong, with an interval."
    )
    by_verdict: dict[str, dict[str, Any]]


class ChangeRow(BaseModel):
    """A sample that differs between two jobs: labels, ranks and verdicts before and after."""

    sample: str
    why: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class DiffAnswer(ToolAnswer):
    """A job compared with another; the older one is `before`."""

    before: dict[str, Any]
    after: dict[str, Any]
    accuracy: dict[str, Any]
    counts: dict[str, int] = Field(description="Length of each list.")
    changes: dict[str, list[ChangeRow]] = Field(description="The first of each list; empty lists are left out.")


def review(
    client: Client,
    job: Job,
    decisions: Annotated[list[DecisionRow], Field(min_length=1, max_length=10_000, description="One a sample.")],
) -> Recorded:
    """Record what is right about samples of a job: relabel, keep or remove. All decisions are recorded, or none.

    The latest decision on a sample holds, and all are kept. Decide only what you have looked at; `unsure` is an answer too.
    """
    body = [one.model_dump(exclude_none=True) for one in decisions]
    return Recorded.model_validate(client.post_json(body, "jobs", job, "reviews"))


def reviews(client: Client, job: Job, limit: Limit = 50, cursor: Cursor = None) -> PageAnswer[ReviewRow]:
    """List every decision of a job, oldest first; the last of a sample holds."""
    answer = client.get("jobs", job, "reviews", limit=limit, cursor=cursor)
    rows = [ReviewRow.model_validate(one) for one in answer["items"]]
    return PageAnswer[ReviewRow](items=rows, total=answer["total"], next=answer["next"])


def reviews_summary(client: Client, job: Job) -> SummaryAnswer:
    """Sum up the reviews of a job: how many of the flagged samples were really wrong."""
    return SummaryAnswer.model_validate(rounded(client.get("jobs", job, "reviews", "summary")))


def diff(
    client: Client,
    job: Job,
    other: Annotated[
        str | None, Field(description="The other job; left out: the one whose reviews made this job's dataset.")
    ] = None,
    by: By = "mislabeled",
    limit: Annotated[int, Field(ge=1, le=1000, description="Number of samples of each list.")] = 10,
) -> DiffAnswer:
    """Compare a job with the one before it: accuracy, suspects that appeared and vanished, labels and ranks that changed."""
    answer = rounded(client.get("jobs", job, "diff", other=other, by=by, limit=limit))
    changes = {
        name: [
            ChangeRow(sample=one["sample_id"], why=one["why"], before=one["before"], after=one["after"])
            for one in answer[name]["items"]
        ]
        for name in _LISTS
        if answer[name]["items"]
    }
    return DiffAnswer(
        before=answer["before"],
        after=answer["after"],
        accuracy=answer["accuracy"],
        counts={name: answer[name]["total"] for name in _LISTS},
        changes=changes,
    )
