"""Responses about jobs."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.schemas.page import Page
from service.domain.dataset import ClientWarning, DatasetInfo
from service.domain.estimate import Status
from service.domain.job import JobError, Progress, State
from service.domain.specs import JobSpec


class Accuracies(BaseModel):
    """Accuracies of the model after its last epoch, between 0 and 1."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    train_accuracy: float | None = None
    reference_accuracy: float | None = Field(None, description="null when the training set itself serves.")
    learning_rate: float | None = Field(None, description="That training began with: the one found, where it was.")


class Estimate(BaseModel):
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


class JobResult(BaseModel):
    """Result of a completed job."""

    model_config = ConfigDict(extra="allow")

    samples: int = Field(description="How many were ranked: every one of the training part.")
    model: Accuracies
    estimates: dict[Literal["mislabeled", "anomalous"], Estimate]
    timings: dict[str, float] = Field(description="Seconds: training_s, scoring_s, ranking_s and others.")
    signals: list[str] = Field(description="Which were computed.")
    warnings: list[ClientWarning] = Field(description="What the numbers cannot be trusted for, and how to mend it.")


class JobLinks(BaseModel):
    """Paths of related resources."""

    self: str
    suspects: str
    events: str
    report: str | None = Field(None, description="null until the job is completed.")
    model: str | None = Field(None, description="The weights at the end of training; null where nothing is trained.")
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
    result: JobResult | None
    loop_trouble: str | None = Field(
        None, description="Why its loop cannot run it again; the next review tries anew. null while nothing is wrong."
    )
    links: JobLinks


class JobPage(Page[JobView]):
    """Jobs, newest first."""
