"""Reviews of samples by people, and the outcomes that follow from them."""

from datetime import datetime
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from service.domain.dataset import Frozen
from service.domain.label_part import LabelPart
from service.domain.region import LONGEST, parse_region
from service.domain.verdict import Verdict

StandingDecision = Literal["relabel", "keep", "remove", "plausible", "unsure"]
DecisionKind = Literal["relabel", "keep", "remove", "plausible", "unsure", "withdraw"]


class Decision(Frozen):
    """Decision of one person about one sample."""

    sample_id: str = Field(description="Id of a sample of the job's dataset.")
    decision: DecisionKind = Field(
        description="relabel: its label shall be `label`. keep: its label is right. remove: leave the sample out. plausible: the label can be defended, though the reviewer would choose another. unsure: no decision. "
        "withdraw: the decision before no longer holds."
    )
    label: str | None = Field(None, description="The right class; only with relabel.")
    reviewer: str | None = Field(None, min_length=1, max_length=200, description="Who decided; null: not said.")

    @model_validator(mode="after")
    def _label_goes_with_relabel(self) -> Self:
        if self.decision == "relabel" and self.label is None:
            raise ValueError("relabel needs a label: the class that is right")
        if self.decision != "relabel" and self.label is not None:
            raise ValueError(f"a label goes with relabel only, not with {self.decision}")
        return self


class SuspectFilter(Frozen):
    """Which samples of a ranking, as the parameters of GET /jobs/{id}/suspects of the same names."""

    by: str = Field("mislabeled", description="Of `min_score`: mislabeled, anomalous, or any computed signal.")
    label: str | None = None
    suggested: str | None = None
    verdict: Verdict | None = None
    min_score: FiniteFloat | None = None
    min_confidence: FiniteFloat | None = None
    disagrees: bool | None = None
    reviewed: bool | None = None
    decision: StandingDecision | None = None
    q: str | None = Field(None, max_length=200)
    region: str | None = Field(None, max_length=LONGEST)
    part: LabelPart | None = None

    @field_validator("region")
    @classmethod
    def _is_a_polygon(cls, value: str | None) -> str | None:
        if value is not None:
            parse_region(value)
        return value


class BulkDecision(Frozen):
    """Decision of one person about many samples."""

    decision: DecisionKind
    label: str | None = Field(
        None, description="The right class, only with relabel; null: of each sample the one suggested for it."
    )
    reviewer: str | None = Field(None, min_length=1, max_length=200, description="Who decided; null: not said.")

    @model_validator(mode="after")
    def _label_goes_with_relabel(self) -> Self:
        if self.decision != "relabel" and self.label is not None:
            raise ValueError(f"a label goes with relabel only, not with {self.decision}")
        return self


class BulkReview(BulkDecision):
    """Body of POST /jobs/{id}/reviews/bulk."""

    filter: SuspectFilter = Field(description="Which samples; {} is the whole ranking.")
    dry_run: bool = Field(False, description="Only count; nothing is written.")


class UndoRequest(Frozen):
    """Body of POST /jobs/{id}/reviews/undo."""

    batch: str = Field(max_length=100, description="`batch` of the answer to what shall be undone.")
    reviewer: str | None = Field(None, min_length=1, max_length=200, description="Who undoes it; null: not said.")


class Review(BaseModel):
    """A stored decision. `seq` counts from 1 within the job; the highest number of a sample holds."""

    model_config = ConfigDict(frozen=True)

    job: str = Field(description="Id of the job in whose list it was made.")
    seq: int
    sample_id: str
    decision: DecisionKind
    label: str | None
    given_label: str | None = Field(description="Label of the sample in that job; null where it is not known.")
    source: str = Field(description='Source: "api", or the labelling tool that it was read from, "label_studio".')
    reviewer: str | None = Field(None, description="Who decided; null where it was not said.")
    batch: str | None = Field(None, description="What was decided in one request, to be undone together.")
    created_at: datetime

    def about(self, given: str) -> "Review":
        """The review restated for a job in which the sample has the label `given`.

        To relabel to `given` becomes to keep; to keep another label becomes to relabel to that.
        """
        if self.decision not in ("keep", "relabel"):
            return self
        right = self.label if self.decision == "relabel" else self.given_label or given
        kept = right == given
        restated = {"decision": "keep", "label": None} if kept else {"decision": "relabel", "label": right}
        return self.model_copy(update={**restated, "given_label": given})

    def right_label(self, given: str) -> str | None:
        """The class that is right by this review of a sample with the label `given`; None where it names no class."""
        restated = self.about(given)
        return {"keep": given, "relabel": restated.label}.get(restated.decision)


class Outcome(StrEnum):
    """Outcome of the review of a sample."""

    RELABELLED_TO_SUGGESTION = "relabelled_to_suggestion"
    RELABELLED_OTHERWISE = "relabelled_otherwise"
    REMOVED = "removed"
    CONFIRMED = "confirmed"
    PLAUSIBLE = "plausible"
    UNSURE = "unsure"
    PENDING = "pending"


WRONG = frozenset({Outcome.RELABELLED_TO_SUGGESTION, Outcome.RELABELLED_OTHERWISE, Outcome.REMOVED})
DECIDED = WRONG | {Outcome.CONFIRMED}


def review_outcome(review: Review | Decision | None, given: str, suggested: str) -> Outcome:
    """Outcome of a review of a sample with the label `given` and the suggested label `suggested`.

    Relabelling to the given label confirms it; without a review the outcome is pending.
    """
    match review and review.decision:
        case "relabel" if review is not None and review.label != given:
            return Outcome.RELABELLED_TO_SUGGESTION if review.label == suggested else Outcome.RELABELLED_OTHERWISE
        case "relabel" | "keep":
            return Outcome.CONFIRMED
        case "remove":
            return Outcome.REMOVED
        case "plausible":
            return Outcome.PLAUSIBLE
        case "unsure":
            return Outcome.UNSURE
        case _:
            return Outcome.PENDING
