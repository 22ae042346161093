"""Responses about the samples of a job: the ranking, and one sample."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from service.api.schemas.confidence import CONFIDENCE, SUGGESTED_CONFIDENCE
from service.api.schemas.page import Page
from service.api.schemas.stage import STAGE
from service.domain.confidence import Confidence
from service.domain.review import DecisionKind, Outcome
from service.domain.stage import Stage
from service.domain.verdict import Verdict


class SampleLinks(BaseModel):
    """Paths of related resources."""

    self: str = Field(description="Everything that the job knows of the sample.")
    media: str | None = Field(description="The image or text itself; null for other data.")
    tool: str | None = Field(None, description="The task in the labelling tool; null where it came from none.")


class SampleCard(BaseModel):
    """A sample in short."""

    id: str
    index: int = Field(description="Position in the upload, 0-based.")
    preview: dict[str, Any]
    links: SampleLinks


class PlantedGlitch(BaseModel):
    """An error that the job planted."""

    kind: str
    original_label: str


class ReviewView(BaseModel):
    """Latest decision of a person on a sample, in terms of this job's labels.

    It may have been given to one that this job follows, or that follows it: a sample that was relabelled there, and
    carries that label here, is kept.
    """

    decision: DecisionKind
    label: str | None = Field(description="The right class; null unless relabelled.")
    outcome: Outcome = Field(description="The decision beside the given and the suggested label.")
    job: str = Field(description="The job that it was given to: this one, or another of its chain.")
    source: str = Field(description='"api", or the labelling tool that it was read from.')
    reviewer: str | None = Field(None, description="Who decided; null where it was not said.")
    created_at: datetime


class Suspect(BaseModel):
    """One row of a ranking."""

    rank: int = Field(description="Place in the whole ranking by the signal asked for, from 1, whatever is filtered.")
    place: int = Field(description="Place in the filtered list, from 1; the rank where nothing is filtered.")
    sample: SampleCard
    given_label: str
    suggested_label: str
    suggested_confidence: float = Field(description=SUGGESTED_CONFIDENCE)
    score: float = Field(description="By the signal asked for; higher = more suspicious.")
    verdict: Verdict
    planted: PlantedGlitch | None = Field(description="null unless the job planted an error here.")
    review: ReviewView | None = Field(None, description="What a person decided; null as long as nobody did.")
    signals: dict[str, float] = Field(description="Every signal that was computed.")


class SuspectPage(Page[Suspect]):
    """Part of a ranking, most suspicious first; ties by index."""

    by: str
    stage: Stage = Field(description=STAGE)
    confidence: Confidence = Field(description=CONFIDENCE)
    flagged: int = Field(description="Rows of the whole job that carry the asked-for verdict.")


class RankedSignal(BaseModel):
    """One signal of one sample."""

    value: float
    rank: int = Field(description="1 = the most suspicious of the job.")


class Trajectory(BaseModel):
    """One sample over the kept checkpoints; every list is in their order.

    Of out-of-sample predictions there is one entry, the prediction, and without features no influence.
    """

    epochs: list[int] = Field(description="0 stands for out-of-sample predictions, which have none.")
    loss: list[float]
    margin: list[float] = Field(description="Score of its label minus the best other's; below 0 = another was ahead.")
    self_influence: list[float]
    class_influence: dict[str, list[float]] = Field(
        description="Influence on the reference samples of a class: its own and those that it hurts most."
    )


class InfluentialSample(BaseModel):
    """A reference sample, and how far training on this sample lowered (positive) or raised its loss."""

    id: str
    label: str
    influence: float
    by_checkpoint: list[float] | None = Field(
        description="What sums up to `influence`, in the order of `trajectory.epochs`; known of the strongest suspects."
    )
    link: str


class WitnessCounts(BaseModel):
    """The reference samples of the suggested class that are most like this one, and how many push against it.

    One does where training on this sample raised its loss.
    """

    label: str = Field(alias="class", description="The suggested label.")
    looked_at: int = Field(description="How many samples: 50, or all that there are.")
    against: list[int] = Field(description="How many push against it, in the order of `trajectory.epochs`.")


class JobSample(BaseModel):
    """Everything about one sample. What was not ranked has no scores, and says why."""

    id: str
    index: int
    given_label: str
    held_out: bool
    reason: str = Field(description="In plain English.")
    suggested_label: str | None = None
    suggested_confidence: float | None = Field(None, description=SUGGESTED_CONFIDENCE)
    confidence: Confidence = Field("order", description=CONFIDENCE)
    verdict: Verdict | None = None
    planted: PlantedGlitch | None = None
    review: ReviewView | None = None
    signals: dict[str, RankedSignal] = {}
    trajectory: Trajectory | None = None
    supporting: list[InfluentialSample] = []
    opposing: list[InfluentialSample] = []
    witnesses: WitnessCounts | None = Field(None, description="Known of the strongest suspects, at most 200.")
    features: dict[str, Any]
    links: SampleLinks
