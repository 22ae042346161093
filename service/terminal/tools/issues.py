"""The tool for what is wrong in the data of a job beside its labels."""

from typing import Annotated

from pydantic import BaseModel, Field

from service.domain.issue import MOST_SAMPLES, IssueType
from service.terminal.tools.answer import ToolAnswer, rounded
from service.terminal.tools.arguments import Job
from usual_suspects.client import Client


class FlaggedRow(BaseModel):
    """A sample that an issue is about."""

    sample: str = Field(description="Id of the sample.")
    label: str
    part: str = Field(description="training, reference, or the split that it is in.")
    group: int | None = Field(description="Number of the set of samples that it belongs to.")
    detail: str | None


class IssueRow(BaseModel):
    """One type of issue."""

    type: str
    found: bool
    score: float = Field(description="0 to 1, higher is worse.")
    flagged: int = Field(description="How many samples.")
    detail: str
    samples: list[FlaggedRow] = Field(description="The first, as many as were asked for.")


class UncheckedRow(BaseModel):
    """A type that was not looked for, and why."""

    type: str
    reason: str


class IssuesAnswer(ToolAnswer):
    """Issues by type, also those of which nothing was found."""

    items: list[IssueRow]
    not_checked: list[UncheckedRow]


def issues(
    client: Client,
    job: Job,
    type: Annotated[IssueType | None, Field(description="Only this type.")] = None,  # noqa: A002 - the name that the API has
    samples: Annotated[int, Field(ge=1, le=MOST_SAMPLES, description="Number of samples of each type.")] = 20,
) -> IssuesAnswer:
    """List what is wrong in the data beside labels: copies, one input under different labels, held-out samples that are trained on, an order."""
    answer = client.get("jobs", job, "issues", type=type, limit=samples)
    rows = [
        IssueRow(
            type=one["type"],
            found=one["found"],
            score=rounded(one["score"]),
            flagged=one["flagged"],
            detail=one["detail"],
            samples=[
                FlaggedRow(sample=row["id"], **{name: row[name] for name in ("label", "part", "group", "detail")})
                for row in one["samples"]
            ],
        )
        for one in answer["items"]
    ]
    return IssuesAnswer(
        items=rows, not_checked=[UncheckedRow(type=one["type"], reason=one["reason"]) for one in answer["not_checked"]]
    )
