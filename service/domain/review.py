"""What people decide of a sample, and what that says of the suspicion."""

from datetime import datetime
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from service.domain.dataset import Frozen

DecisionKind = Literal["relabel", "keep", "remove", "unsure", "withdraw"]


class Decision(Frozen):
    """What one person says of one sample."""

    sample_id: str = Field(description="Id of a sample of the job's dataset.")
    decision: DecisionKind = Field(
        description="relabel: give it `label`; keep: its label is right; remove: leave it out; withdraw: what was said "
        "before does not hold, and nothing is in its place."
    )
    label: str | None = Field(None, description="The right class; only with relabel.")

    @model_validator(mode="after")
    def _label_goes_with_relabel(self) -> Self:
        if self.decision == "relabel" and self.label is None:
            raise ValueError("relabel needs a label: the class that is right")
        if self.decision != "relabel" and self.label is not None:
            raise ValueError(f"a label goes with relabel only, not with {self.decision}")
        return self


class Review(BaseModel):
    """A decision that was kept. `seq` counts from 1 within the job; the highest of a sample is the job's last word."""

    model_config = ConfigDict(frozen=True)

    job: str = Field(description="The job that it was given to.")
    seq: int
    sample_id: str
    decision: DecisionKind
    label: str | None
    given_label: str | None = Field(description="The class that the sample carried there; null where it is not known.")
    source: str = Field(description='Who brought it: "api", or the labelling tool it was read from, "label_studio".')
    created_at: datetime

    def about(self, given: str) -> "Review":
        """The same word where the sample is called `given`: to relabel it so is to keep it, to keep another, to relabel."""
        if self.decision not in ("keep", "relabel"):
            return self
        right = self.label if self.decision == "relabel" else self.given_label or given
        kept = right == given
        said = {"decision": "keep", "label": None} if kept else {"decision": "relabel", "label": right}
        return self.model_copy(update={**said, "given_label": given})


class Outcome(StrEnum):
    """What became of a sample."""

    RELABELLED_TO_SUGGESTION = "relabelled_to_suggestion"
    RELABELLED_OTHERWISE = "relabelled_otherwise"
    REMOVED = "removed"
    CONFIRMED = "confirmed"
    UNSURE = "unsure"
    PENDING = "pending"


WRONG = frozenset({Outcome.RELABELLED_TO_SUGGESTION, Outcome.RELABELLED_OTHERWISE, Outcome.REMOVED})
DECIDED = WRONG | {Outcome.CONFIRMED}


def review_outcome(review: Review | Decision | None, given: str, suggested: str) -> Outcome:
    """What a review says of a sample that carries the class `given` and was suggested to be `suggested`.

    To relabel a sample as what it is called already confirms it.
    """
    match review and review.decision:
        case "relabel" if review is not None and review.label != given:
            return Outcome.RELABELLED_TO_SUGGESTION if review.label == suggested else Outcome.RELABELLED_OTHERWISE
        case "relabel" | "keep":
            return Outcome.CONFIRMED
        case "remove":
            return Outcome.REMOVED
        case "unsure":
            return Outcome.UNSURE
        case _:
            return Outcome.PENDING
