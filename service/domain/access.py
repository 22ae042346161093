"""Access of callers: projects, scopes, keys and their quotas."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_validator

from service.domain.dataset import Frozen

DEFAULT_PROJECT = "default"
# How the ids of keys begin: of those that somebody created, and of those that the page of a signed-in person holds as a cookie.
KEY_PREFIX, SESSION_PREFIX = "key_", "session_"
B = TypeVar("B", bound=BaseModel)
_PROJECT = r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$"


class AccessScope(StrEnum):
    """What a key may do in its project. `admin` may do everything; each of the others may also read."""

    READ = "read"
    REVIEW = "review"
    SUBMIT = "submit"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """Who a request comes from. `key` and `name` are those of a created key, None for keys of the settings and without keys.

    `logged_as` is the name of a key of the settings in the audit log; people who share it say themselves who reviews.
    """

    project: str = DEFAULT_PROJECT
    scopes: frozenset[AccessScope] = frozenset({AccessScope.ADMIN})
    key: str | None = None
    name: str | None = None
    quota: "KeyQuota | None" = None
    logged_as: str | None = None

    def may(self, scope: AccessScope) -> bool:
        """Whether its scopes allow this."""
        return scope in self.scopes or AccessScope.ADMIN in self.scopes or scope == AccessScope.READ

    def signed(self, said: B) -> B:
        """What the caller said, with the name of the key as its `reviewer` where the key has one."""
        return said if self.name is None else said.model_copy(update={"reviewer": self.name})

    @property
    def has_signed_in(self) -> bool:
        """Whether it is a person who signed in on the page."""
        return self.key is not None and self.key.startswith(SESSION_PREFIX)

    @property
    def is_operator(self) -> bool:
        """Whether it administers the installation: an admin of the default project sees the keys of every project."""
        return self.project == DEFAULT_PROJECT and self.may(AccessScope.ADMIN)


class KeyQuota(Frozen):
    """Limits of a key. A field that is left out sets no limit."""

    requests_per_minute: int | None = Field(None, ge=1, le=1_000_000)
    jobs_per_day: int | None = Field(None, ge=1, le=1_000_000)
    bytes_per_day: int | None = Field(None, ge=1, description="Bytes of all request bodies, as they are sent.")


class KeyRequest(Frozen):
    """Body of POST /keys."""

    name: str = Field(
        min_length=1, max_length=100, description="Who or what uses it. Reviews with this key have it as reviewer."
    )
    scopes: list[AccessScope] = Field(
        [AccessScope.READ],
        min_length=1,
        max_length=100,
        description="Each allows what it says and reading, none includes another but admin. read: look at everything in the project. "
        "review: decide on samples, draw them, score a job again. submit: upload, submit, delete and write into labelling tools, but not "
        "review. admin: everything, keys and connections too.",
    )
    project: str = Field(
        DEFAULT_PROJECT,
        pattern=_PROJECT,
        description="The key sees the datasets, jobs, networks and connections of this project alone. A project exists as "
        "soon as a key names it.",
    )
    expires_at: AwareDatetime | None = Field(None, description="The key is refused from then on; null: never.")
    quota: KeyQuota = KeyQuota()

    @field_validator("name")
    @classmethod
    def _is_printable(cls, name: str) -> str:
        # It stands beside decisions and in logs: no other line, and no mark that turns the direction of what follows.
        if not name.isprintable():
            raise ValueError("must be one line of printable characters")
        return name

    @field_validator("scopes")
    @classmethod
    def _each_once(cls, scopes: list[AccessScope]) -> list[AccessScope]:
        return sorted(set(scopes), key=list(AccessScope).index)


class RotateRequest(Frozen):
    """Body of POST /keys/{id}/rotate."""

    grace_seconds: int = Field(
        3600, ge=0, le=30 * 24 * 3600, description="Time for which the old secret is still accepted, in seconds."
    )


class KeyView(BaseModel):
    """A key as it is listed, without its secret."""

    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    scopes: list[AccessScope]
    project: str
    quota: KeyQuota
    created_at: datetime
    created_by: str | None = Field(description="Id of the key that created it; null: a key of the settings, or none.")
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute; null: never used.")

    @property
    def is_operator(self) -> bool:
        """Whether it administers the installation, see Caller."""
        return self.project == DEFAULT_PROJECT and AccessScope.ADMIN in self.scopes

    def expired(self, now: datetime) -> bool:
        """Whether it is no longer accepted."""
        return self.expires_at is not None and self.expires_at <= now

    def caller(self) -> Caller:
        """Who sends it."""
        return Caller(self.project, frozenset(self.scopes), self.id, self.name, self.quota)


class CreatedKey(KeyView):
    """A key just after it was created."""

    key: str = Field(description="The key itself. It is shown this once; the service keeps only its hash.")


class AuditLogEntry(BaseModel):
    """One request that changed something, or was refused."""

    model_config = ConfigDict(frozen=True)

    seq: int
    at: datetime
    project: str | None = Field(description="Project of the key; null where no valid key was sent.")
    key: str | None = Field(description="Id of the key; null for a key of the settings, and without keys.")
    name: str | None = Field(
        description="Name of the key; of SUSPECTS_API_KEYS the place in the list: `settings key 1`. null without a key."
    )
    address: str | None = Field(description="Address of the client.")
    method: str
    path: str = Field(description="Path without query and without secrets.")
    status: int
    request_id: str | None
