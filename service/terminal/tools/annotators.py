"""Tool for the people who gave the labels."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from service.terminal.tools.answer import ToolAnswer, rounded
from service.terminal.tools.arguments import Job
from usual_suspects.client import Client


class AnnotatorRow(BaseModel):
    """One person who gave labels."""

    annotator: str
    labelled: int
    doubted: int = Field(description="Labels where the job holds another one right.")
    doubted_share: dict[str, float] | None = Field(description="With its 95 % interval.")
    others_share: float | None = Field(description="That of the others on samples of the same classes.")
    stands_out: bool = Field(description="Whether that is more than chance explains.")
    reviewed: int
    wrong: int = Field(description="Of those that were reviewed.")
    agreement: dict[str, Any] | None = Field(description="With the others, on samples that several people labelled.")
    most_confused: list[dict[str, Any]]


class AnnotatorsAnswer(ToolAnswer):
    """People who gave labels, those that stand out first."""

    items: list[AnnotatorRow]
    total: int
    not_known: int = Field(description="Ranked samples of which nobody is known.")
    detail: str


def annotators(
    client: Client, job: Job, limit: Annotated[int, Field(ge=1, le=1000, description="How many people at most.")] = 20
) -> AnnotatorsAnswer:
    """List the people who gave the labels, and whose labels are doubted more often than chance explains. A doubt is no proof: do not blame anybody by it."""
    answer = client.get("jobs", job, "annotators", limit=limit)
    rows = [AnnotatorRow.model_validate(rounded(one)) for one in answer["items"]]
    return AnnotatorsAnswer(items=rows, **{name: answer[name] for name in ("total", "not_known", "detail")})
