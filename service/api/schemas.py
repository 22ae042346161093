"""What the service answers, field by field; the contract of its clients."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.api.paging import Page
from service.domain.connection import Connection, PullSource
from service.domain.dataset import DatasetInfo, DatasetSpec, Frozen, SkippedRow, Warning
from service.domain.job import JobError, Progress, State
from service.domain.network import NetworkInfo
from service.domain.precision import Band, Day, Share
from service.domain.review import DecisionKind, Outcome, Review
from service.domain.signal import Signal
from service.domain.specs import JobSpec
from service.store.webhooks import DeliveryState

Verdict = Literal["mislabeled", "anomalous", "clean"]


class FromUrl(Frozen):
    """What POST /datasets takes as JSON."""

    url: str = Field(max_length=4096, description="http or https; fetched once, now.")
    spec: DatasetSpec = Field(DatasetSpec(), description="What is known of the file.")


class FromProject(PullSource):
    """What POST /datasets takes as JSON for the labelled tasks of a project; they are read now."""

    name: str | None = Field(None, max_length=200, description="Shown in lists; the project's title when left out.")

    @property
    def source(self) -> PullSource:
        """Where the tasks come from."""
        return PullSource(**{name: getattr(self, name) for name in PullSource.model_fields})


class DatasetPage(Page[DatasetInfo]):
    """Datasets, newest first."""


class NetworkPage(Page[NetworkInfo]):
    """Uploaded networks, newest first."""


class SkippedPage(Page[SkippedRow]):
    """Rows that are not in the dataset, in the order of the upload."""


class VersionList(BaseModel):
    """The corrected datasets that were made of one."""

    items: list[DatasetInfo]
    total: int
    ancestors: list[str] = Field(description="Ids of what the dataset itself was made of, its parent first.")


class VerifiedPage(Page[str]):
    """Ids of samples, sorted."""


class DatasetSampleLinks(BaseModel):
    """Where more is."""

    self: str
    media: str | None = Field(description="The image or text itself; null for other data.")


class DatasetSample(BaseModel):
    """One row of a dataset."""

    id: str
    index: int = Field(description="Position in the upload, 0-based.")
    split: str
    label: str
    features: dict[str, Any] = Field(description="By the client's names; an image is described, see links.media.")
    links: DatasetSampleLinks


class Accuracies(BaseModel):
    """The model after its last epoch."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    train_accuracy: float | None = None
    reference_accuracy: float | None = Field(None, description="null when the training set itself serves.")
    learning_rate: float | None = Field(None, description="That training began with: the one found, where it was.")


class Estimate(BaseModel):
    """How many samples are thought to be so, with an interval where an honest one is known."""

    model_config = ConfigDict(extra="allow")

    count: int
    low: int | float | None = None
    high: int | float | None = None
    confident_joint: int | None = Field(
        None, description="Of out-of-sample predictions: how many cleanlab counts by them (Northcutt et al. 2021)."
    )


class JobResult(BaseModel):
    """What a completed job found."""

    model_config = ConfigDict(extra="allow")

    samples: int = Field(description="How many were ranked: every one of the training part.")
    model: Accuracies
    estimates: dict[Literal["mislabeled", "anomalous"], Estimate]
    timings: dict[str, float] = Field(description="Seconds: training_s, scoring_s, ranking_s and others.")
    signals: list[str] = Field(description="Which were computed.")
    warnings: list[Warning] = Field(description="What the numbers cannot be trusted for, and how to mend it.")


class JobLinks(BaseModel):
    """Where more is."""

    self: str
    suspects: str
    events: str
    report: str | None = Field(None, description="null until the job is completed.")
    model: str | None = Field(None, description="The weights at the end of training; null where nothing is trained.")
    next: str | None = Field(None, description="The job that followed it, once its loop has run it again.")


class JobView(BaseModel):
    """A job."""

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


class SampleLinks(BaseModel):
    """Where more is."""

    self: str = Field(description="Everything that the job knows of the sample.")
    media: str | None = Field(description="The image or text itself; null for other data.")
    tool: str | None = Field(None, description="The task in the labelling tool; null where it came from none.")


class SampleCard(BaseModel):
    """A sample, in short."""

    id: str
    index: int = Field(description="Position in the upload, 0-based.")
    preview: dict[str, Any]
    links: SampleLinks


class PlantedGlitch(BaseModel):
    """A known error that the job planted."""

    kind: str
    original_label: str


class ReviewView(BaseModel):
    """What a person decided of a sample, the latest decision, in the words of this job.

    It may have been given to one that this job follows, or that follows it: a sample that was relabelled there, and
    carries that label here, is kept.
    """

    decision: DecisionKind
    label: str | None = Field(description="The right class; null unless relabelled.")
    outcome: Outcome = Field(description="The decision beside the given and the suggested label.")
    job: str = Field(description="The job that it was given to: this one, or another of its chain.")
    source: str = Field(description='"api", or the labelling tool that it was read from.')
    created_at: datetime


class Suspect(BaseModel):
    """One row of a ranking."""

    rank: int
    sample: SampleCard
    given_label: str
    suggested_label: str
    suggested_confidence: float
    score: float = Field(description="By the signal asked for; higher = more suspicious.")
    verdict: Verdict
    planted: PlantedGlitch | None = Field(description="null unless the job planted an error here.")
    review: ReviewView | None = Field(None, description="What a person decided; null as long as nobody did.")
    signals: dict[str, float] = Field(description="Every signal that was computed.")


class SuspectPage(Page[Suspect]):
    """Part of a ranking, most suspicious first; ties by index."""

    by: str
    flagged: int = Field(description="Rows of the whole job that carry the asked-for verdict.")


class ReviewPage(Page[Review]):
    """Every decision that was given to a job, oldest first."""


class ReviewsRecorded(BaseModel):
    """The decisions were kept."""

    recorded: int = Field(description="How many were sent.")
    reviewed: int = Field(description="How many samples of the job have a decision now.")


class SignalPrecision(BaseModel):
    """How often a signal was right, by rank."""

    name: str
    bands: list[Band]


class ReviewOutcomes(BaseModel):
    """How many samples came to each outcome."""

    flagged: dict[Outcome, int] = Field(description="Of those with the verdict mislabeled or anomalous.")
    clean: dict[Outcome, int] = Field(description="Of the others, as far as somebody looked at them.")


class ToolStanding(BaseModel):
    """How far the decisions that were made in a labelling tool are known."""

    reconciled_at: datetime | None = Field(description="When they were read, or tried to be read, last; null: never.")
    trouble: str | None = Field(description="Why they could not be read the last time; it is tried again.")


class ReviewSummary(BaseModel):
    """What people made of a ranking, each sample once, whichever job of the chain they said it to.

    A sample that was held out of the ranking does not count.
    """

    samples: int = Field(description="How many were ranked.")
    flagged: int = Field(description="How many of them carry the verdict mislabeled or anomalous.")
    reviewed: int = Field(description="How many of them have a decision.")
    outcomes: ReviewOutcomes
    precision: Share = Field(description="Of what was flagged.")
    by_verdict: dict[Verdict, Share]
    by_signal: list[SignalPrecision]
    over_time: list[Day] = Field(description="Of what was flagged, by the day (UTC) of the decision that holds.")
    tool: ToolStanding | None = Field(description="null for a job whose samples came from no labelling tool.")


class DiffSide(BaseModel):
    """One of two jobs."""

    job: str
    dataset: str
    created_at: datetime
    samples: int = Field(description="How many it ranked.")
    flagged: int
    train_accuracy: float | None
    reference_accuracy: float | None


class DiffPlace(BaseModel):
    """Where a sample stands in one job."""

    rank: int
    score: float
    verdict: Verdict
    given_label: str
    suggested_label: str


class DiffItem(BaseModel):
    """A sample in both jobs; null where it was not ranked."""

    sample_id: str
    before: DiffPlace | None
    after: DiffPlace | None
    why: Literal["removed", "held_out", "new", "relabelled", "verdict", "rank"] = Field(
        description="What differs, the first that holds: it is not in the later dataset; it is in one of the two "
        "rankings only; it has another label; another verdict; another rank."
    )


class DiffList(BaseModel):
    """Part of a list, the most suspicious first."""

    items: list[DiffItem]
    total: int


class DiffAccuracy(BaseModel):
    """The accuracy on the reference before and after."""

    comparable: bool = Field(description="Whether both jobs were measured on the same samples with the same labels.")
    before: float | None
    after: float | None
    gain: float | None = Field(description="after - before; null unless comparable.")
    note: str


class JobDiff(BaseModel):
    """What differs between two jobs; `before` is the one that was submitted first."""

    by: str
    before: DiffSide
    after: DiffSide
    accuracy: DiffAccuracy
    differing: list[str] = Field(description="Parts of `spec` that are not the same, the dataset aside.")
    common: int = Field(description="Samples that both ranked.")
    only_before: int
    only_after: int
    relabelled: DiffList = Field(description="Samples whose given label changed.")
    appeared: DiffList = Field(description="Flagged after and not before.")
    vanished: DiffList = Field(description="Flagged before and not after.")
    entered: DiffList = Field(description="Among the first `limit` after and not before.")
    left: DiffList = Field(description="Among the first `limit` before and not after.")
    moved: DiffList = Field(description="Among the first `limit` in both, at another rank.")


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
    suggested_confidence: float | None = None
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


class Bins(BaseModel):
    """A histogram: `counts[i]` samples lie between `edges[i]` and `edges[i + 1]`."""

    edges: list[float]
    counts: list[int]


class SignalView(Signal):
    """One signal over all samples of a job."""

    histogram: Bins
    quantiles: dict[str, float] = Field(description="By share: 0.5 is the median.")
    correlations: dict[str, float] = Field(description="Spearman's, with every other signal.")
    detection: dict[str, float | None] | None = Field(
        description="How well it found the planted glitches: precision, recall, f1 at the planted count, "
        "average_precision, auroc, and authors_f1, that of the paper's evaluation, which flags one sample more; null "
        "when none were planted."
    )
    detection_by_kind: dict[str, dict[str, float | None]] = Field(
        default_factory=dict, description="The same for each planted kind, samples of the other kinds left out."
    )


class SignalList(BaseModel):
    """The signals of a job."""

    items: list[SignalView]
    total: int
    ranking: dict[str, list[str]] = Field(
        description="With glitches planted, for all of them and for each kind the signals that find them on this "
        "dataset and model, the best average precision first; empty otherwise."
    )


class GroupView(BaseModel):
    """Samples of one label that stand apart from the rest of it."""

    label: str
    size: int
    separation: float = Field(description="Share of the label's variance that setting it apart explains.")
    gap: float = Field(
        description="The same along the line between the group and the rest alone: near 1 for two heaps, 0.64 for one "
        "normal heap cut in its middle."
    )
    sample_ids: list[str] = Field(description="The most typical first; not all of a large group.")
    previews: list[SampleCard]


class GroupList(BaseModel):
    """Groups, the best separated first."""

    items: list[GroupView]
    total: int
    note: str | None = Field(None, description="Why no job of this kind has any; null otherwise.")


class Candidate(BaseModel):
    """A sample whose label is worth verifying."""

    sample: SampleCard
    given_label: str
    suggested_label: str
    suggested_confidence: float
    why: str = Field(
        description="How many samples of its label are more like it, in the model's features, than like any earlier "
        "proposal; of a label with more than 2,000 samples, as many were drawn and looked at."
    )


class CandidateList(BaseModel):
    """Samples to verify; the ids of those found right go into `reference.samples` of the next job."""

    items: list[Candidate]
    total: int
    note: str | None = Field(None, description="Why no job of this kind has any; null otherwise.")


class ConnectionPage(Page[Connection]):
    """Connections, newest first."""


class ConnectionSecret(BaseModel):
    """Where the labelling tool calls this service, shown this once."""

    path: str = Field(description="Secret: who knows it can read predictions and start training.")
    url: str | None = Field(description="The same with SUSPECTS_PUBLIC_URL before it; null where that is not set.")


class DeliveryView(BaseModel):
    """One message to a webhook."""

    id: str = Field(description="Sent as webhook-id; the same in every attempt.")
    job: str
    event: str = Field(description="job.completed, job.failed or job.cancelled.")
    url: str = Field(description="Without its query.")
    state: DeliveryState
    attempts: int = Field(description="How many were made.")
    due_at: datetime | None = Field(description="When the next attempt is made; null when there will be none.")
    status: int | None = Field(description="What the receiver answered last; null when it could not be asked.")
    error: str | None = Field(description="Why the last attempt failed.")
    created_at: datetime
    ended_at: datetime | None


class DeliveryPage(Page[DeliveryView]):
    """Messages to webhooks, newest first."""


class ModelView(BaseModel):
    """A model that may be asked for."""

    name: str
    title: str
    modality: str
    cost: Literal["low", "medium", "high"]
    pretrained: bool
    default: bool = Field(description="Whether `auto` picks it for its modality.")
    params: dict[str, Any] = Field(description="JSON schema of `model.params`.")
    training: dict[str, Any] = Field(
        description="What `training` fields become when left out; empty where nothing is trained."
    )
    fine_tuning: dict[str, Any] = Field(
        description="And what they become where `trainable_blocks` of a pretrained network are trained, if that differs."
    )


class ModelList(BaseModel):
    """The models."""

    items: list[ModelView]
    total: int


class SignalKindList(BaseModel):
    """The signals that may be asked for; the two with `headline` are always computed."""

    items: list[Signal]
    total: int


class Check(BaseModel):
    """One thing that the service needs."""

    ok: bool
    detail: str


class Readiness(BaseModel):
    """Whether jobs can be taken in and computed now."""

    status: Literal["ready", "not_ready"]
    checks: dict[Literal["database", "broker", "storage", "worker"], Check]


class Health(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"
    version: str
