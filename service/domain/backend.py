"""What Label Studio sends to its machine learning backends and webhooks, as much of it as is looked at."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ProjectNumber = Annotated[int, Field(ge=0, lt=2**63)]


class _Sent(BaseModel):
    """More may come with it, and is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class EventProject(_Sent):
    """The project that something happened in."""

    id: ProjectNumber


class ToolEvent(_Sent):
    """Something happened: an annotation was made, say. What exactly is read from the tool itself."""

    action: str = Field(max_length=100)
    project: EventProject


ProjectName = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,18}(\.[0-9]+)?$", description="The project's number, a point, and when it was made."),
]


class SetupRequest(_Sent):
    """The tool makes itself known, again and again. The token that comes with it is not even read."""

    project: ProjectName

    @property
    def number(self) -> int:
        """Of the project."""
        return int(self.project.partition(".")[0])


class PredictRequest(SetupRequest):
    """What does the model say of these tasks?"""

    tasks: list[dict[str, Any]] = Field(max_length=10_000)
    label_config: str


class BackendHealth(BaseModel):
    """The service is there."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    status: Literal["UP"] = "UP"
    model_class: str = "UsualSuspects"


class ModelVersion(BaseModel):
    """Under which name the predictions of a project are: that of its newest completed job."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_version: str


class ModelVersions(BaseModel):
    """One a completed job, the newest first."""

    model_config = ConfigDict(frozen=True)

    versions: list[str]


class Prediction(BaseModel):
    """What is said of one task."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    result: list[dict[str, Any]] = Field(
        description="The suggested class as the tool writes results; its own `score` is how sure of it the model is."
    )
    score: float | None = Field(
        description="How suspicious the task's label is. Of a task that was ranked, its score in the ranking; of another, how "
        "improbable the model finds its label, and null where it has none."
    )
    model_version: str


class Predictions(BaseModel):
    """One for each task, in order; an empty list where nothing can be said of it now."""

    model_config = ConfigDict(frozen=True)

    results: list[Prediction | list[Prediction]]


class EventAccepted(BaseModel):
    """An event was heard; what comes of it is done afterwards."""

    model_config = ConfigDict(frozen=True)

    action: str
