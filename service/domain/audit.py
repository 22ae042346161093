"""Requests to an audit, which measures by reviews how many labels are wrong."""

from typing import Literal

from pydantic import Field

from service.domain.dataset import Frozen

# original: the labels that the chain of jobs began with. version: those that this job ranked.
AuditedLabels = Literal["original", "version"]
GOAL_PATTERN = r"^(measure|(recall|remaining|accept):(0?\.\d+|1(\.0+)?))$"
GOAL_HELP = (
    "measure: how many labels are wrong. recall:0.9: find at least 90 % of the wrong ones. remaining:0.01: at most 1 % of what nobody "
    "reviewed is wrong. accept:0.01: decide whether at most 1 % of all labels are wrong."
)


class DrawRequest(Frozen):
    """Body of POST /jobs/{id}/audit/draws."""

    count: int = Field(20, ge=1, le=1000, description="How many samples.")
    goal: str = Field("measure", pattern=GOAL_PATTERN, description=GOAL_HELP)
    confirm: int | None = Field(
        None,
        ge=1,
        le=2,
        description="2: a label counts as wrong once a second person calls it so; it is handed out to others until then. It holds for the "
        "whole audit, until a request says otherwise. null: as it is, 1 in the beginning.",
    )
    of: AuditedLabels = Field(
        "original",
        description="original: the labels that the chain of jobs began with. version: those that this job ranked, in an audit of its own.",
    )
    reviewer: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Who will review them. What this person has been given and not reviewed comes first.",
    )
