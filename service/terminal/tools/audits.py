"""Tools for audits: samples to review next, and how many labels are wrong by the reviews."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from service.domain.audit import GOAL_HELP
from service.terminal.tools.answer import ToolAnswer, rounded, row_of
from service.terminal.tools.arguments import Job
from usual_suspects.client import Client

Goal = Annotated[str, Field(description=GOAL_HELP)]


class DrawnRow(BaseModel):
    """A sample to review."""

    sample: str = Field(description="Id of the sample.")
    given_label: str
    suggested_label: str
    values: dict[str, Any] = Field(description="Columns, text, or path and size of an image; long ones are cut.")


class DrawsAnswer(ToolAnswer):
    """Samples to review next, in this order."""

    batch: str
    goal: str
    items: list[DrawnRow]


class AuditNumbers(ToolAnswer):
    """Numbers of wrong labels, measured by the reviews of drawn samples."""

    means: str = Field(description="The answer in a sentence.")
    samples: int
    found: int
    wrong: dict[str, Any] = Field(description="estimate, low, high, at_most.")
    reviewed: dict[str, int]
    recall_at_least: float | None = None
    stop: dict[str, Any] = Field(description="goal, reached, refused, expected_more_reviews.")
    labels: dict[str, dict[str, Any]] | None = Field(None, description="`wrong` of each given label, if asked for.")


class CertificateAnswer(ToolAnswer):
    """The verdict on a delivery of labels: accepted, refused or undecided, and the record that it follows from."""

    verdict: str
    share: float
    level: float
    samples: int
    found: int
    wrong: dict[str, Any] = Field(description="estimate, low, high, at_most.")
    reviewed: dict[str, int]
    judges: list[dict[str, Any]]
    seed: int
    log_digest: str


def audit(
    client: Client,
    job: Job,
    goal: Annotated[str | None, Field(description=f"{GOAL_HELP} Left out: the goal of the last draws.")] = None,
    by_label: Annotated[bool, Field(description="Also of each given label.")] = False,
) -> AuditNumbers:
    """Tell how many labels of a job are wrong, measured by the reviews of drawn samples, and whether reviewing may stop."""
    answer = rounded(client.get("jobs", job, "audit", goal=goal, by="label" if by_label else None))
    labels = {one["label"]: one["wrong"] for one in answer["labels"]} or None
    return AuditNumbers.model_validate({**answer, "labels": labels})


def certificate(
    client: Client,
    job: Job,
    share: Annotated[float, Field(gt=0, lt=1, description="The share of wrong labels that is accepted.")] = 0.01,
) -> CertificateAnswer:
    """Tell whether at most a share of the labels of a job is wrong, by the audit, and by whom the drawn samples were judged."""
    return CertificateAnswer.model_validate(client.get("jobs", job, "audit", "certificate", share=share))


def draw(
    client: Client,
    job: Job,
    count: Annotated[int, Field(ge=1, le=1000, description="Number of samples.")] = 20,
    goal: Goal = "measure",
    reviewer: Annotated[
        str | None, Field(description="Who will review them; what this reviewer left comes first.")
    ] = None,
) -> DrawsAnswer:
    """Draw samples to review next, so that their reviews measure how many labels are wrong. Review every one that you are given."""
    body = {"count": count, "goal": goal, "reviewer": reviewer}
    answer = client.post_json(body, "jobs", job, "audit", "draws")
    rows = [
        DrawnRow(
            sample=item["sample_id"],
            given_label=item["given_label"],
            suggested_label=item["suggested_label"],
            values=row_of(item["sample"]["preview"]),
        )
        for item in answer["items"]
    ]
    return DrawsAnswer(batch=answer["batch"], goal=answer["goal"], items=rows)
