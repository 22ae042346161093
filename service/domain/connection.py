"""Connections to labelling tools, what is pulled over them and what is pushed back: as clients say and see it."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from service.domain.address import parse_http_url
from service.domain.dataset import AnnotationPolicy, Frozen

PushMode = Literal["predictions", "tab", "review_project", "requeue"]
TokenKind = Literal["legacy", "personal"]


class TokenRequest(Frozen):
    """A token that takes the place of the one before."""

    token: SecretStr = Field(
        min_length=1,
        max_length=4096,
        description="Legacy or personal access token; stored encrypted, never shown again.",
    )

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, token: SecretStr) -> SecretStr:
        text = token.get_secret_value()
        # Not a word of what was sent: this text goes into answers and logs.
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError(
                "must be printable ASCII without spaces: the token alone, without the word Token or Bearer"
            )
        return token


class ConnectionRequest(TokenRequest):
    """What POST /connections takes."""

    kind: Literal["label_studio"] = Field(description="The labelling tool.")
    url: str = Field(max_length=2048, description="Where the tool's own front page is.")
    name: str | None = Field(None, max_length=200, description="The host when left out.")

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
    """What the tool showed when the connection was tested."""

    model_config = ConfigDict(frozen=True)

    user: str = Field(description="Whose token it is.")
    version: str | None = Field(description="Of the tool; null when it does not say.")
    projects: int = Field(description="How many projects the token can see.")


class Connection(BaseModel):
    """A connection as everybody may see it. Neither the token nor the secret path is shown."""

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
    """Where the labelled tasks of a job come from."""

    connection: str = Field(description="Id of a connection.")
    project: int = Field(ge=1, description="The tool's own number of the project.")
    from_name: str | None = Field(None, description="Which Choices tag holds the class, where there are several.")
    annotation_policy: AnnotationPolicy = Field(
        "latest",
        description="Which annotation of a task counts: the latest, what most say, those marked as ground truth where they "
        "agree, or all of them, each as a sample of its own.",
    )


class PushRequest(Frozen):
    """What is written back into the tool that the tasks came from."""

    mode: PushMode = Field(
        "tab",
        description="predictions: of each task its suspicion as score, and the suggested class. tab: also a tab of the Data "
        "Manager sorted by suspicion. review_project: the same, and the suspects in a project of their own, in order, "
        "with the suggestion to be accepted or changed. requeue: the same as tab, and the suspects' annotations become "
        "drafts again, so that the tasks come back into the queue; POST /jobs/{job_id}/push/undo puts them back.",
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="Only so many, the most suspicious: of predictions and tab all tasks when left out, of review_project "
        "and requeue those that are flagged. These two leave out what somebody has decided on.",
    )
    dry_run: bool = Field(False, description="Only say what would be done.")


class PushResult(BaseModel):
    """What was done, or would be done, in the tool."""

    model_config = ConfigDict(protected_namespaces=())

    mode: PushMode
    dry_run: bool
    project: int
    model_version: str = Field(description="Under which the predictions are.")
    predictions: int = Field(description="How many tasks carry a prediction of this job.")
    written: int = Field(description="How many of them were written now: none where they were there already.")
    replaced: int = Field(description="Predictions of this job that were there before and were taken away first.")
    detailed: int = Field(description="How many of them also carry `mislabeling` and `neighbors`.")
    missing: int = Field(description="Ranked tasks that are gone from the project.")
    unwritable: int = Field(description="Ranked tasks whose suggested class the label config has no more.")
    view: int | None = Field(description="Number of the tab that is sorted by suspicion.")
    review_project: int | None = Field(description="Number of the project of suspects.")
    suspects: int = Field(description="Tasks put into the project of suspects, or back into the queue, now or before.")
    model_version_before: str | None = Field(description="Whose scores the tool showed before the first push.")
    events: str | None = Field(
        description="Whether the tool was asked to tell this service of changes: `asked`, or why not; null without "
        "SUSPECTS_PUBLIC_URL."
    )
    url: str = Field(description="Where to look at it in the tool.")


class UndoResult(BaseModel):
    """Which sent-back tasks were put as they had been."""

    restored: int
    kept: int = Field(description="Tasks that somebody has annotated anew, or that are gone: left as they are.")


class ReconcileResult(BaseModel):
    """What people have decided in the tool since the pull."""

    project: int
    tasks: int = Field(description="Tasks that the tool has now.")
    recorded: int = Field(description="Decisions that were new.")
    outcomes: dict[str, int] = Field(description="Of the flagged samples: how many became of which; see the summary.")
