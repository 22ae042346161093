"""Connections to labelling tools, pulls and pushes over them: requests and answers of the API."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from service.domain.dataset import AnnotationPolicy, Frozen
from service.domain.names import Name
from service.domain.urls import parse_http_url

PushMode = Literal["predictions", "tab", "review_project", "requeue"]
TokenKind = Literal["legacy", "personal"]


class TokenRequest(Frozen):
    """New token of a connection, in place of the old one."""

    token: SecretStr = Field(
        min_length=1,
        max_length=4096,
        description="Legacy or personal access token; stored encrypted, never shown again.",
    )

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr) -> SecretStr:
        text = token.get_secret_value()
        # The text must not contain the token: it goes into answers and logs.
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError(
                "must be printable ASCII without spaces: the token alone, without the word Token or Bearer"
            )
        return token


class ConnectionRequest(TokenRequest):
    """Body of POST /connections."""

    kind: Literal["label_studio"] = Field(description="The labelling tool.")
    url: str = Field(max_length=2048, description="URL of the tool's front page.")
    name: Name | None = Field(None, max_length=200, description="Name of the connection; the host when left out.")

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        parts = parse_http_url(url)
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise ValueError(
                "must not hold a user name, a password, a query or a fragment; the token goes into `token`"
            )
        return url.rstrip("/")


class ConnectionCheck(BaseModel):
    """Result of the last test of a connection."""

    model_config = ConfigDict(frozen=True)

    user: str = Field(description="User to whom the token belongs.")
    version: str | None = Field(description="Version of the tool; null where it does not say.")
    projects: int = Field(description="Number of projects that the token can see.")


class Connection(BaseModel):
    """A connection as the API shows it, without its token and its secret path."""

    model_config = ConfigDict(frozen=True)

    id: str
    kind: Literal["label_studio"]
    name: str
    url: str
    token_kind: TokenKind = Field(description="personal: a refresh token, exchanged for short-lived access tokens.")
    seen: ConnectionCheck
    tested_at: datetime
    created_at: datetime


class PullSource(Frozen):
    """Source of the labelled tasks of a job."""

    connection: str = Field(description="Id of a connection.")
    project: int = Field(ge=1, description="The tool's own number of the project.")
    from_name: str | None = Field(
        None, description="Name of the Choices tag that holds the class, where there are several."
    )
    annotation_policy: AnnotationPolicy = Field(
        "latest",
        description="Which annotation of a task counts: the latest, what most say, those marked as ground truth where they "
        "agree, or all of them, each as a sample of its own.",
    )


class PushRequest(Frozen):
    """Body of POST /jobs/{job_id}/push: what is written back into the tool of the tasks."""

    mode: PushMode = Field(
        "tab",
        description="predictions: for each task its suspicion as score, and the suggested class. tab: also a tab of the Data "
        "Manager sorted by suspicion. review_project: the same, and the suspects in a project of their own, in order, "
        "with the suggestion to be accepted or changed. requeue: the same as tab, and the suspects' annotations become "
        "drafts again, so that the tasks come back into the queue; POST /jobs/{job_id}/push/undo puts them back.",
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="Largest number of tasks, the most suspicious first. Left out, predictions and tab write all tasks, review_project "
        "and requeue the flagged ones. These two leave out tasks that people have decided on.",
    )
    dry_run: bool = Field(False, description="Say what would be done, and do nothing.")


class PushResult(BaseModel):
    """Result of a push: what was done, or with `dry_run` would be done, in the tool."""

    model_config = ConfigDict(protected_namespaces=())

    mode: PushMode
    dry_run: bool
    project: int
    model_version: str = Field(description="Name of the model version of the predictions.")
    predictions: int = Field(description="Number of tasks with a prediction of this job.")
    written: int = Field(description="Number of predictions that were written now; 0 where all were there already.")
    replaced: int = Field(description="Number of earlier predictions of this job that were deleted first.")
    detailed: int = Field(description="Number of predictions that also have `mislabeling` and `neighbors`.")
    missing: int = Field(description="Number of ranked tasks that are no longer in the project.")
    unwritable: int = Field(
        description="Number of ranked tasks whose suggested class is no longer in the label config."
    )
    view: int | None = Field(description="Number of the tab that is sorted by suspicion.")
    review_project: int | None = Field(description="Number of the project of suspects.")
    suspects: int = Field(
        description="Number of tasks in the project of suspects, or put back into the queue, now or before."
    )
    model_version_before: str | None = Field(
        description="Model version whose scores the tool showed before the first push."
    )
    events: str | None = Field(
        description="Whether the tool was asked to send events to this service: `asked`, or why not; null without "
        "SUSPECTS_PUBLIC_URL."
    )
    url: str = Field(description="URL of the result in the tool.")


class UndoResult(BaseModel):
    """Result of undoing a requeue: numbers of tasks."""

    restored: int
    kept: int = Field(description="Tasks left as they are, because somebody has annotated them again or deleted them.")


class ReconcileResult(BaseModel):
    """Result of reconciling: decisions that people made in the tool since the pull."""

    project: int
    tasks: int = Field(description="Tasks that the tool has now.")
    recorded: int = Field(description="Decisions that were new.")
    outcomes: dict[str, int] = Field(description="Number of flagged samples by outcome; see the summary.")
