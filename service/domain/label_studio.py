"""Messages between Label Studio and its machine learning backend or webhook; fields that are not used are left out."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ProjectNumber = Annotated[int, Field(ge=0, lt=2**63)]


class _Sent(BaseModel):
    """A message of Label Studio; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class EventProject(_Sent):
    """Project of an event."""

    id: ProjectNumber


class ToolEvent(_Sent):
    """Event in a project, such as a new annotation. Its contents are read from the tool, not from the message."""

    action: str = Field(max_length=100)
    project: EventProject


ProjectName = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,18}(\.[0-9]+)?$", description="The project's number, a point, and when it was made."),
]


class SetupRequest(_Sent):
    """Setup of the backend, which Label Studio repeats. Its access token is not read."""

    project: ProjectName

    @property
    def number(self) -> int:
        """Number of the project."""
        return int(self.project.partition(".")[0])


class PredictRequest(SetupRequest):
    """Request for predictions for some tasks."""

    tasks: list[dict[str, Any]] = Field(max_length=10_000)
    label_config: str


class BackendHealth(BaseModel):
    """Health of the backend."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    status: Literal["UP"] = "UP"
    model_class: str = "UsualSuspects"


class ModelVersion(BaseModel):
    """Name of the model version of a project: that of its newest completed job."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_version: str


class ModelVersions(BaseModel):
    """Names of the model versions of a project, one for each completed job, the newest first."""

    model_config = ConfigDict(frozen=True)

    versions: list[str]


class Prediction(BaseModel):
    """Prediction for one task."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    result: list[dict[str, Any]] = Field(
        description="The suggested class as the tool writes results; its own `score` is the confidence of the model in it, from 0 to 1, where that is a probability."
    )
    score: float | None = Field(
        description="Suspicion of the task's label, higher is more suspicious: the score of a ranked task in its ranking; for another task "
        "one minus the probability of its label; null for a task without a label."
    )
    model_version: str


class Predictions(BaseModel):
    """One prediction for each task, in order; an empty list for a task without a prediction now."""

    model_config = ConfigDict(frozen=True)

    results: list[Prediction | list[Prediction]]


class EventAccepted(BaseModel):
    """Answer to an event, which is handled afterwards."""

    model_config = ConfigDict(frozen=True)

    action: str
