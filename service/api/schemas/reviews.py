"""Responses about reviews."""

from datetime import datetime

from pydantic import BaseModel, Field

from service.api.schemas.page import Page
from service.domain.precision import DailyShare, RankBand, ReviewedShare
from service.domain.review import Outcome, Review
from service.domain.verdict import Verdict


class ReviewPage(Page[Review]):
    """All decisions that people made in a job, oldest first."""


class ReviewsRecorded(BaseModel):
    """Number of recorded decisions."""

    recorded: int = Field(description="How many were sent.")
    reviewed: int = Field(description="How many samples of the job have a decision now.")
    batch: str = Field(description="By which they are undone together: POST /jobs/{id}/reviews/undo.")


class BulkRecorded(BaseModel):
    """Number of samples that a filter matches, and of recorded decisions."""

    matched: int = Field(description="How many samples the decision is about.")
    written: int = Field(description="How many decisions were recorded; 0 of a dry run.")
    batch: str | None = Field(description="By which they are undone together; null where none was recorded.")


class ReviewsUndone(BaseModel):
    """Number of samples whose earlier decision holds again."""

    restored: int
    left: int = Field(description="How many samples of the batch were decided again since, and stay as they are.")
    batch: str | None = Field(description="By which the undoing itself is undone; null where nothing was restored.")


class SignalPrecision(BaseModel):
    """Precision of a signal by rank."""

    name: str
    bands: list[RankBand]


class ReviewOutcomes(BaseModel):
    """Number of samples with each outcome."""

    flagged: dict[Outcome, int] = Field(description="Of those with the verdict mislabeled or anomalous.")
    clean: dict[Outcome, int] = Field(description="Of the others, as far as somebody looked at them.")


class ToolStanding(BaseModel):
    """When the decisions in the labelling tool were read last."""

    reconciled_at: datetime | None = Field(description="When they were read, or tried to be read, last; null: never.")
    trouble: str | None = Field(description="Why they could not be read the last time; it is tried again.")


class ReviewSummary(BaseModel):
    """Reviews of a ranking. Each sample counts once, whichever job of the chain it was reviewed in.

    A sample that was held out of the ranking does not count.
    """

    samples: int = Field(description="How many were ranked.")
    flagged: int = Field(description="How many of them carry the verdict mislabeled or anomalous.")
    reviewed: int = Field(description="How many of them have a decision.")
    outcomes: ReviewOutcomes
    precision: ReviewedShare = Field(description="Of what was flagged.")
    by_verdict: dict[Verdict, ReviewedShare]
    by_signal: list[SignalPrecision]
    over_time: list[DailyShare] = Field(description="Of what was flagged, by the day (UTC) of the decision that holds.")
    tool: ToolStanding | None = Field(description="null for a job whose samples came from no labelling tool.")
