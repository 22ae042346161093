"""Requests to an audit, which measures by reviews how many labels are wrong."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from service.domain.dataset import Frozen
from service.domain.names import Name

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


class ProxyRequest(Frozen):
    """Body of POST /jobs/{id}/proxies: the opinions of a judge, by sample id."""

    name: Name = Field(min_length=1, max_length=200, description="Who judges: a second annotator, a model.")
    labels: dict[str, str] | None = Field(
        None, min_length=1, description="The label that the judge would give each sample, a class of the dataset."
    )
    wrong: dict[str, Annotated[float, Field(ge=0, le=1)]] | None = Field(
        None, min_length=1, description="Instead of `labels`: the probability that the given label is wrong."
    )
    of: AuditedLabels = Field("original", description="Which labels are judged, as in draws.")

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.labels is None) == (self.wrong is None):
            raise ValueError("give labels or wrong, one of them")
        return self
