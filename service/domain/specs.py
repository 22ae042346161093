"""Jobs as clients ask for them (`JobRequest`), and as they are done (`JobSpec`), with every default filled in."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from service.domain.connection import PullSource
from service.domain.dataset import DatasetSpec, Frozen, Names, each_once
from service.domain.names import Name
from service.domain.training import TrainingOptions
from service.domain.webhook import WebhookRequest, WebhookShown

_MOST_SAMPLES = 100_000
_Layers = Annotated[
    list[Annotated[str, Field(max_length=500)]], AfterValidator(each_once), Field(min_length=1, max_length=1_000)
]


class Reference(Frozen):
    """Samples on which influence is measured, chosen in exactly one way."""

    dataset: str | None = Field(None, description="Id of another dataset with the same features and classes.")
    split: str | None = Field(None, description="A split of the same dataset.")
    holdout: float | None = Field(None, gt=0, lt=1, description="Share of the training part to hold out.")
    samples: Names | None = Field(
        None, min_length=1, description="Ids that people have verified; in a request at most 100,000."
    )
    verified: Literal[True] | None = Field(
        None, description="Every sample of the dataset that people have verified; echoed as `samples`."
    )
    trusted: bool | None = Field(None, description="Whether people have verified it; true for dataset and split.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [
            name for name in ("dataset", "split", "holdout", "samples", "verified") if getattr(self, name) is not None
        ]
        if len(given) != 1:
            msg = f"give exactly one of dataset, split, holdout, samples or verified, not {', '.join(given) or 'none'}"
            raise ValueError(msg)
        if self.trusted is False and (self.samples is not None or self.verified):
            raise ValueError("samples that people have verified are trusted by definition: leave `trusted` out")
        if self.trusted and self.holdout is not None:
            raise ValueError("a holdout is drawn from unverified samples and cannot be trusted: leave `trusted` out")
        return self

    @property
    def is_trusted(self) -> bool:
        """Whether people have verified the reference (api.md: never for a holdout)."""
        return self.holdout is None and self.trusted is not False


class ModelRequest(Frozen):
    """Which model to train."""

    name: str = Field("auto", description="A name of GET /models, or auto: chosen by modality and size.")
    params: dict[str, Any] = Field(default_factory=dict, description="The model's own parameters; see GET /models.")

    @property
    def network(self) -> str | None:
        """Id of the uploaded network that training begins with, or None."""
        found: str | None = self.params.get("network")
        return found


class TrainingRequest(TrainingOptions):
    """How to train; each field left out takes the model's default."""

    epochs: int | None = Field(None, ge=1, le=10_000)
    batch_size: int | None = Field(None, ge=2, le=65_536)
    learning_rate: float | None = Field(None, gt=0, le=100)
    find_learning_rate: bool | None = Field(
        None,
        description="Whether short runs at half to four times `learning_rate` decide which is used, which the "
        "result then says. Left out, they do for model auto on tables, unless `learning_rate` is given.",
    )
    optimizer: Literal["sgd", "adamw"] | None = None
    schedule: Literal["constant", "cosine"] | None = None
    momentum: float | None = Field(None, ge=0, lt=1, description="Of sgd.")
    weight_decay: float | None = Field(None, ge=0, le=1)
    seed: int = Field(0, ge=0, le=2**31 - 1)
    checkpoints: Literal["all"] | int | None = Field(
        None,
        description="Which epochs' ends are scored: all, or a number of them: the first epochs for one half, the others "
        "evenly spaced up to the last. 8 when left out.",
    )

    @model_validator(mode="after")
    def _checkpoints(self) -> Self:
        if isinstance(self.checkpoints, int) and not 1 <= self.checkpoints <= 10_000:
            raise ValueError("checkpoints must be all or a number from 1")
        return self


class Training(TrainingOptions):
    """How the model is trained, resolved.

    Of a recorded training `epochs` says how many checkpoints there are and `learning_rate` that of the first; beside them
    only `checkpoints` and `seed` mean anything. Of out-of-sample predictions these are 1: influence is that of one step.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    find_learning_rate: bool = False
    optimizer: Literal["sgd", "adamw"]
    schedule: Literal["constant", "cosine"]
    momentum: float
    weight_decay: float
    seed: int
    checkpoints: Literal["all"] | int


class Influence(Frozen):
    """Gradients that influence is computed from."""

    layers: Literal["last", "last-2", "all"] | _Layers = Field(
        "last",
        description="Whose gradients count: the last layer, the last two, all that have parameters, or modules of the "
        "model by name. A layer that is not supported fails the job and is named. Neighbours, densities and the evidence "
        "of single samples always read the last layers.",
    )
    estimator: Literal["tracin", "projected"] = Field(
        "tracin",
        description="tracin is exact; projected keeps each layer's gradient in about `dimension` random numbers, which "
        "keeps inner products on average, for networks too large otherwise.",
    )
    dimension: int = Field(1024, ge=1, le=65_536, description="Of estimator projected: numbers kept of each layer.")
    columns: int = Field(
        128,
        ge=1,
        description="Without a reference the training set serves; signals of cost `pairs` then use this many of its "
        "rows, drawn from every class in proportion, and say so in a warning. Training sets of up to 2,000 rows and "
        "references that are given are used whole.",
    )
    precision: Literal["exact", "fast"] = Field(
        "exact",
        description="Of products on a GPU: exact errs by about 1e-6, as single precision on a processor does, fast by about 1e-3. "
        "Without a GPU both are the same.",
    )


class Glitch(Frozen):
    """Known errors that are planted before training, to measure how well each signal finds them."""

    kind: Literal[
        "mislabeled_uniform",
        "mislabeled_pair",
        "mislabeled_confusion",
        "mislabeled_one_way",
        "mislabeled_human",
        "mislabeled_cluster",
        "anomalous_far_clustered",
        "anomalous_far_scattered",
        "anomalous_near_clustered",
        "anomalous_shuffled",
        "anomalous_extreme",
        "duplicate",
        "duplicate_relabeled",
    ] = Field(
        description="mislabeled: uniform = any other label, pair = the next class, confusion = likelier the nearer the "
        "classes' means, one_way = half of the classes lose samples to the nearest of the others, human = samples that look "
        "like another class get its label, cluster = samples of one class that are alike get the label of the class next to "
        "them. anomalous replaces the inputs: far_clustered = one tight cluster three radii outside of the "
        "data under one label, far_scattered = each in a direction and under a label of its own, near_clustered = a "
        "cluster at the edge of the data under another label, shuffled = ordinary values in combinations that do not "
        "occur (images: tiles moved), extreme = a quarter of the columns 6 to 10 deviations away (images: inverted or "
        "glaring). Of texts: far = gibberish of rare tokens, near clustered = copies of one text with some words of "
        "others, shuffled = words of many texts, extreme = one token over and over. duplicate = a copy of another "
        "sample, with its label; duplicate_relabeled = with another label."
    )
    rate: float = Field(0.1, gt=0, le=0.5, description="Share of the training part.")
    seed: int = Field(0, ge=0, le=2**31 - 1)


class Loop(Frozen):
    """When the job is run again, over its dataset corrected by reviews."""

    after: int = Field(ge=1, description="Number of samples that reviews must have relabelled or removed.")
    quiet_seconds: float = Field(60, ge=0, le=86_400, description="Time without a new review, in seconds.")
    cool_down_seconds: float = Field(600, ge=0, le=30 * 86_400, description="Time since the job ended, in seconds.")
    reference: Literal["same", "verified"] = Field(
        "same", description="Reference of the next job: that of this one, or every sample that people have verified."
    )


class JobOptions(Frozen):
    """Options of a job; each has a default."""

    reference: Reference | None = Field(None, description="Left out, the training set itself serves.")
    model: ModelRequest = ModelRequest()
    training: TrainingRequest = TrainingRequest()
    influence: Influence = Influence()
    signals: Names | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Names of GET /signals; all that suit the data when left out. `mislabeled` and `anomalous` are always computed, except "
        "`anomalous` for predictions without features.",
    )
    glitches: list[Glitch] | None = Field(None, min_length=1, max_length=100)
    loop: Loop | None = Field(None, description="Left out, the job is run once.")
    webhook: WebhookRequest | None = Field(
        None, description="Where to send a message when the job ends; left out, none is sent."
    )
    name: Name | None = Field(None, max_length=200)
    priority: int = Field(0, ge=0, le=9, description="Higher starts sooner, among the jobs of the project.")

    @field_validator("reference")
    @classmethod
    def _is_short(cls, value: Reference | None) -> Reference | None:
        # Not of `Reference`: a job whose samples are all that people have verified may have more.
        if value is not None and len(value.samples or ()) > _MOST_SAMPLES:
            raise ValueError(f"at most {_MOST_SAMPLES:,} samples; upload them as a dataset of their own")
        return value


class JobRequest(JobOptions):
    """Body of POST /jobs."""

    dataset: str = Field(description="Id of a dataset.")


class PullJobRequest(PullSource, JobOptions):
    """Body of POST /jobs for the tasks of a labelling tool."""

    @property
    def source(self) -> PullSource:
        """Source of the tasks."""
        return PullSource(**{name: getattr(self, name) for name in PullSource.model_fields})


class UploadJobRequest(JobOptions):
    """The `spec` part of a multipart POST /jobs; the dataset is the uploaded file."""

    dataset: DatasetSpec = DatasetSpec()


class Fallback(Frozen):
    """What `auto` trains where no pretrained network is at hand. The first worker of the job decides."""

    model: ModelRequest
    training: Training
    used: bool | None = Field(
        None, description="null until a worker has decided; then `model` and `training` of the job are final."
    )
    reason: str | None = Field(None, description="Why no pretrained network was at hand, where that is so.")


class JobSpec(Frozen):
    """A job with every default filled in; a worker needs nothing else but the datasets."""

    dataset: str
    reference: Reference | None
    model: ModelRequest
    training: Training
    influence: Influence
    signals: list[str]
    glitches: list[Glitch] | None
    loop: Loop | None = None
    webhook: WebhookShown | None = None
    source: PullSource | None = Field(None, description="Where the samples come from; null for a dataset.")
    fallback: Fallback | None = Field(
        None,
        description="What is trained instead of `model` where no pretrained network is at hand; null unless `auto` "
        "stands for one. Not a field of requests.",
    )
    name: str
    priority: int


class RerunRequest(Frozen):
    """Body of POST /jobs/{id}/rerun."""

    now: bool = Field(False, description="Start at once, whoever reviews, without the pauses of its loop.")
