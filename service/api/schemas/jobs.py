"""Responses about jobs."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.confidence import CONFIDENCE
from service.api.schemas.page import Page
from service.api.schemas.stage import STAGE
from service.domain.confidence import Confidence
from service.domain.dataset import ClientWarning, DatasetInfo
from service.domain.estimate import Status
from service.domain.job import JobError, Progress, State
from service.domain.rescoring import RescoringState
from service.domain.specs import JobSpec, Reference
from service.domain.stage import Stage


class Accuracies(BaseModel):
    """Accuracies of the model after its last epoch, between 0 and 1."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    train_accuracy: float | None = None
    reference_accuracy: float | None = Field(None, description="null when the training set itself serves.")
    learning_rate: float | None = Field(None, description="That training began with: the one found, where it was.")


class OwnEstimate(BaseModel):
    """Estimated number of samples, with an interval where one is known.

    Where the status is unknown, the job cannot tell, and the numbers mean nothing.
    """

    model_config = ConfigDict(extra="allow")

    status: Status = Field(
        description="measured: by reviews of samples drawn at random. rough: by a rule that holds on most data. unknown: it "
        "cannot be told from none, see `reason`."
    )
    count: int = Field(description="It decides how many are flagged, whatever the status.")
    low: int | float | None = None
    high: int | float | None = None
    reason: str | None = Field(None, description="Why it is unknown, and what would help; null otherwise.")
    confident_joint: int | None = Field(
        None, description="Of out-of-sample predictions: how many cleanlab counts by them (Northcutt et al. 2021)."
    )


class Estimate(OwnEstimate):
    """Estimated or measured number of samples."""

    rule: OwnEstimate | None = Field(
        None,
        description="Of a measured number: what the job told without reviews. Flags and certainty follow it until the samples are scored "
        "again (`result.rescored.recalibrated`).",
    )


class RescoredRanking(BaseModel):
    """Which version of a ranking it is, once its samples were scored again."""

    version: int = Field(description="The job itself made version 0.")
    samples: int = Field(description="Verified samples that served as reference.")
    reviews: int = Field(description="Number of the last review of this job that counted.")
    recalibrated: bool = Field(
        False,
        description="Whether flags and certainty follow what reviewers said: flagged is what is more likely wrong than not. So once the "
        "number of wrong labels is measured.",
    )
    at: datetime


class RescoringView(BaseModel):
    """The last rescoring of a job: its samples are scored again by what was verified, without a training."""

    version: int = Field(description="Of the ranking that it makes.")
    state: RescoringState
    samples: int | None = Field(description="Verified samples that served as reference; null until it is completed.")
    error: JobError | None = Field(description="Why it failed; the ranking is as before then.")
    created_at: datetime
    finished_at: datetime | None


class JobResult(BaseModel):
    """Result of a completed job, or of its first ranking while it computes."""

    model_config = ConfigDict(extra="allow")

    stage: Stage = Field("full", description=STAGE)
    samples: int = Field(description="How many were ranked: every one of the training part.")
    model: Accuracies
    estimates: dict[Literal["mislabeled", "anomalous"], Estimate]
    timings: dict[str, float] = Field(description="Seconds: training_s, scoring_s, ranking_s and others.")
    signals: list[str] = Field(description="Which were computed.")
    warnings: list[ClientWarning] = Field(description="What the numbers cannot be trusted for, and how to mend it.")
    confidence: Confidence = Field("order", description=CONFIDENCE)
    rescored: RescoredRanking | None = Field(None, description="null while the ranking is the one that the job made.")


class JobLinks(BaseModel):
    """Paths of related resources."""

    self: str
    suspects: str
    events: str
    report: str | None = Field(None, description="null until the job is completed.")
    model: str | None = Field(None, description="The weights at the end of training; null where nothing is trained.")
    previous: str | None = Field(None, description="The job that this one is the rerun of.")
    next: str | None = Field(None, description="The job that followed it, once its loop has run it again.")


class JobView(BaseModel):
    """A job: its options, state and result."""

    id: str
    name: str
    state: State
    progress: Progress
    spec: JobSpec = Field(description="What is done, every default resolved.")
    dataset: DatasetInfo
    attempts: int = Field(description="How many workers have begun it.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: JobError | None
    result: JobResult | None = Field(
        description="null until there is a ranking: until the job is completed, or has a first one (`stage`: quick)."
    )
    loop_trouble: str | None = Field(
        None, description="Why its loop cannot run it again; the next review tries anew. null while nothing is wrong."
    )
    flagged: int | None = Field(
        None, description="How many samples carry the verdict mislabeled or anomalous; null until it is completed."
    )
    reviewed: int = Field(0, description="On how many ranked samples a decision holds, its chain included.")
    rerun_at: datetime | None = Field(
        None, description="When the rerun starts that was asked for, unless somebody reviews meanwhile; null: none is."
    )
    rerun_blocked: str | None = Field(None, description="Why it cannot be run again now; null where it can.")
    rescoring: RescoringView | None = Field(None, description="The last time that its samples were scored again.")
    verified: int = Field(
        0,
        description="How many ranked samples have a label that people kept or changed, or had verified before the job.",
    )
    rescore_blocked: str | None = Field(
        None, description="Why its samples cannot be scored again now; null where they can."
    )
    links: JobLinks


class RerunStarted(JobView):
    """A job that will be run again."""

    starts_at: datetime = Field(description="When its rerun starts, unless somebody reviews meanwhile.")


class SecondsRange(BaseModel):
    """An interval of time in seconds."""

    low: float
    high: float


class JobEstimate(BaseModel):
    """How long a job would take."""

    spec: JobSpec = Field(description="What would be done, every default resolved.")
    seconds: SecondsRange | None = Field(
        description="From the moment that a worker takes the job to its end; null where the jobs that have run here say nothing."
    )
    basis: str = Field(description="What `seconds` is based on, or why it is null.")


class LineageItem(BaseModel):
    """A job in the line from a dataset to its corrected versions."""

    version: int = Field(description="1 is the first dataset of the line.")
    job: str
    name: str
    state: State
    dataset: str
    created_at: datetime
    rows: int = Field(description="Of its dataset.")
    samples: int | None = Field(description="How many it ranked; null until it is completed, as what follows.")
    train_accuracy: float | None
    reference_accuracy: float | None
    flagged: int | None
    reviewed: int
    relabelled: int = Field(description="Samples with another label than in the dataset before it.")
    removed: int = Field(description="Samples of the dataset before it that were left out.")


class LineageList(BaseModel):
    """A job with those before and after it, the oldest first."""

    items: list[LineageItem]
    total: int


LISTED_SAMPLES = 50


class ListedReference(Reference):
    """Reference of a job in a list, without most of its samples where there are many."""

    # Only where it is cut: no request has this field, so that a cut reference cannot be taken for the whole by sending it back.
    sample_count: int | None = Field(
        None,
        exclude_if=lambda count: count is None,
        description=f"How many samples there are, where `samples` is only the first {LISTED_SAMPLES}; left out otherwise.",
    )


class ListedSpec(JobSpec):
    """What a job in a list does."""

    reference: ListedReference | None


class ListedJob(JobView):
    """A job in a list."""

    spec: ListedSpec = Field(
        description=f"What is done, every default resolved. Of a reference by name the first {LISTED_SAMPLES} samples; the job itself has all."
    )


class JobPage(Page[ListedJob]):
    """Jobs, newest first."""
