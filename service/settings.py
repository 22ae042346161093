"""Settings of an installation, read from environment variables with the prefix `SUSPECTS_` once a process."""

import base64
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import quote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

_FERNET_KEY_BYTES = 32
PREFIX = "SUSPECTS_"
_A_CENTURY_DAYS = 36_525
Seconds = Annotated[float, Field(le=_A_CENTURY_DAYS * 86_400)]  # what a calendar can count with
Days = Annotated[float, Field(le=_A_CENTURY_DAYS)]
_DATABASES = frozenset({"sqlite", "sqlite+pysqlite", "postgresql+psycopg"})
_BROKERS = frozenset({"redis", "rediss"})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class GroupAccess(BaseModel):
    """What people of a group of the sign-in provider may do: a project, and scopes in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    project: str = Field("default", pattern=r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$")
    scopes: tuple[Literal["read", "review", "submit", "admin"], ...] = Field(min_length=1)

    @property
    def is_operator(self) -> bool:
        """Whether they administer the installation."""
        return self.project == "default" and "admin" in self.scopes


class Settings(BaseSettings):
    """All settings as one immutable value, which is passed on and never built at import."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    home: Path = Field(Path("~/.usual-suspects"), description="Folder of uploads, checkpoints and evidence.")
    secrets: Path | None = Field(
        None,
        description="Folder of files that are named like settings, in lower case, and hold their values: suspects_api_keys, for "
        "example. A variable of the same name goes first.",
    )
    artefacts: str = Field(
        "",
        description="Where the files of datasets, jobs and networks are, if hosts share no file system: `s3://bucket/prefix`, or "
        "`file:///folder`. `home` is a cache of it then, one for each host. Empty: they are in `home` alone, which all hosts share.",
    )
    max_cached_bytes: int = Field(
        100 * 2**30,
        gt=0,
        description="About the largest size of that cache: what was used least recently is evicted, once the store has it.",
    )
    # Before the URLs, which get them.
    database_password: SecretStr = Field(
        SecretStr(""), description="Password of the database, where its URL has none; any character may be in it."
    )
    broker_password: SecretStr = Field(SecretStr(""), description="The same for the broker.")
    database_url: str = Field(
        "",
        description="`postgresql://USER@HOST/DATABASE`, or `sqlite:////FILE`; SQLite under `home` when empty.",
        repr=False,
    )
    broker_url: str = Field("redis://127.0.0.1:6379/0", description="URL of Redis or Valkey.", repr=False)
    api_keys: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Comma-separated API keys. The audit log names a key by its place: `settings key 1`. Without one the service answers on loopback addresses only.",
        repr=False,
    )
    wrong_key_limit: int = Field(
        20,
        ge=0,
        description="Wrong keys from one address after which all its requests are refused with 429 for up to five minutes; 0: no "
        "limit. Each API process counts for itself.",
    )
    oidc_issuer: str = Field(
        "",
        description="URL of the OpenID provider at which people sign in on the page, exactly as it names itself. Empty: people use keys.",
    )
    oidc_client_id: str = Field("", description="Id under which the provider knows this service.")
    oidc_client_secret: SecretStr = Field(
        SecretStr(""), description="Secret that the provider gave with it; empty for a public client."
    )
    oidc_request: str = Field(
        "openid email profile",
        description="Scopes that the provider is asked for; some providers want `groups` among them.",
    )
    oidc_name_claim: str = Field(
        "email", description="Claim of the provider that names a person, as reviewer and in the audit log."
    )
    oidc_project: str = Field(
        "default", pattern=r"^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$", description="Project of a person who signs in."
    )
    oidc_scopes: Annotated[tuple[Literal["read", "review", "submit"], ...], NoDecode] = Field(
        ("review",),
        description="Comma-separated scopes that a person gets there; `admin` needs a group. Empty: only people of a group of "
        "SUSPECTS_OIDC_GROUPS get in.",
    )
    oidc_groups: dict[str, GroupAccess] = Field(
        {},
        description='What people of groups get instead, as JSON: `{"annotators": {"project": "birds", "scopes": ["review"]}}`. Of '
        "several groups, the first in this order decides on the project.",
    )
    oidc_groups_claim: str = Field("groups", description="Claim of the provider that lists a person's groups.")
    oidc_session_hours: float = Field(8, gt=0, le=720, description="Hours after which a person signs in again.")

    models: Path | None = Field(
        None, description="Folder of pretrained models that jobs may name; `models` under `home` when unset."
    )
    image_backbones: Annotated[tuple[str, ...], NoDecode] = Field(
        ("efficientnet_lite0", "facebook/dinov2-small"),
        description="Comma-separated pretrained networks for images: model auto uses the first that is at hand, in a package or in "
        "the folder of pretrained models. Empty: auto trains from scratch.",
    )
    text_backbones: Annotated[tuple[str, ...], NoDecode] = Field(
        ("all-minilm-l6-v2", "intfloat/multilingual-e5-small"), description="The same for texts."
    )
    auto_hub: bool = Field(
        False,
        description="Whether model auto may fetch one of these from the Hugging Face hub, where none is at hand.",
    )
    max_features_bytes: int = Field(
        20 * 2**30,
        gt=0,
        description="Largest size of the cache of frozen backbones' outputs; the least recently used are deleted first.",
    )
    max_upload_bytes: int = Field(20 * 2**30, gt=0, description="Largest size of an upload.")
    max_expanded_bytes: int = Field(
        100 * 2**30, gt=0, description="Largest size of a compressed upload after expansion."
    )
    body_seconds: Seconds = Field(
        60,
        gt=0,
        description="Longest pause within the body of a request. After this time a body also has to come at 1 kB/s.",
    )
    ingest_memory_bytes: int = Field(
        4 * 2**30,
        ge=2**28,
        description="Most memory of a process that reads an upload. A file that needs more is refused with 413.",
    )
    ingest_seconds: Seconds = Field(
        300,
        gt=0,
        description="Longest processor time to read an upload of up to 64 MiB; a larger one gets as much more as it is larger. By "
        "the clock it may take four times as long.",
    )
    ingest_processes: int = Field(
        2, gt=0, description="Number of uploads that are read at once, each in a process of its own; others wait."
    )
    keep_uploads: bool = Field(
        True,
        description="Whether uploads are kept as they came, so that corrected datasets can be downloaded in the form of the "
        "original. It takes the size of each upload.",
    )
    max_waiting_jobs: int = Field(
        1000, gt=0, description="Largest number of queued jobs of a project; further ones are refused with 429."
    )
    allow_private_urls: bool = Field(False, description="Whether datasets may be fetched from private addresses.")
    allow_private_webhooks: bool = Field(False, description="Whether webhooks may be sent to private addresses.")
    allow_private_connections: bool = Field(
        False, description="Whether labelling tools at private addresses may be connected."
    )
    secret_keys: SecretStr = Field(
        SecretStr(""),
        description="Comma-separated Fernet keys for secrets at rest: the first encrypts, all decrypt. Without them one "
        "is made once, in the file secret.key of `home`.",
    )
    public_url: str = Field(
        "",
        description="URL at which people and labelling tools reach this service. With it, a push also asks them to send events.",
    )

    reconcile_seconds: Seconds = Field(
        300,
        ge=0,
        description="Time between two requests for decisions to a labelling tool, beside its own events; 0: none.",
    )

    answer_seconds: float = Field(
        10, ge=0, le=90, description="Longest time that a labelling tool waits for predictions for new tasks."
    )

    rescore_after: int = Field(
        0,
        ge=0,
        description="New reviews after which the samples of a completed job are scored again by what was verified, without a training, 25 say; "
        "0: only on request, because what is verified at the top of a ranking alone makes that of anomalies worse.",
    )

    lease_seconds: Seconds = Field(
        30, gt=0, description="A worker that does not renew its lease for longer loses its job."
    )
    heartbeat_seconds: Seconds = Field(
        5,
        gt=0,
        description="Time between two signs of life of a worker, by which it counts as alive and ready; less than a lease. Leases are renewed "
        "every second, or as often as this where it is less.",
    )
    sweep_seconds: Seconds = Field(5, gt=0, description="Time between two searches for queued and abandoned jobs.")
    collect_seconds: Seconds = Field(
        3600, ge=0, description="Time between two searches for files that nothing needs any more; 0: none."
    )
    collect_after_seconds: Seconds = Field(
        86_400,
        gt=0,
        description="Files that no dataset, job or network names, and unfinished uploads, are deleted this long after their last change.",
    )
    keep_checkpoints_days: Days = Field(
        30,
        ge=0,
        description="Days after which the checkpoints of an ended job are deleted; its weights, ranking and evidence stay. 0: never.",
    )
    keep_jobs_days: Days = Field(
        0, ge=0, description="Days after which an ended job is deleted, with its ranking and reviews. 0: never."
    )
    keep_datasets_days: Days = Field(
        0, ge=0, description="Days after its upload from which on a dataset that no job uses is deleted. 0: never."
    )
    keep_audit_log_days: Days = Field(
        0, ge=0, description="Days after which an entry of the audit log is deleted. 0: never."
    )
    max_attempts: int = Field(5, gt=0, description="A job that has lost its worker this often is failed.")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        description="Where workers train and score: auto (a GPU if torch sees one), cpu, cuda (each process the next GPU), cuda:1.",
    )
    share_seconds: Seconds = Field(
        10.0,
        ge=0,
        description="A part of a job's scoring that would take one thread longer than this is divided into blocks, which workers that "
        "have nothing else to do compute too, to the same bits; 0: never.",
    )
    ready_file: Path | None = Field(
        None, description="File that a worker process touches each time it writes that it can take a job."
    )
    threads: int | None = Field(
        None,
        gt=0,
        description="CPU threads of one worker process. When unset: a fair share of the cores and of the container's quota.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the interface
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then variables, then files in the folder that SUSPECTS_SECRETS names."""
        folder = os.environ.get("SUSPECTS_SECRETS")
        if not folder or not Path(folder).is_dir():  # which is refused below
            return init_settings, env_settings
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder)

    @field_validator("secrets")
    @classmethod
    def _is_there(cls, value: Path | None) -> Path | None:
        # Without the keys that lie in it a service would be open.
        if value is not None and not value.is_dir():
            raise ValueError(f"there is no folder {value}")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, url: str) -> str:
        driver, mark, rest = url.partition("://")
        driver = "postgresql+psycopg" if driver in ("postgres", "postgresql") else driver
        if url and not (mark and driver in _DATABASES):
            raise ValueError("must be postgresql://USER@HOST/DATABASE or sqlite:////FILE")
        return driver + mark + rest

    @field_validator("broker_url")
    @classmethod
    def _is_broker(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in _BROKERS or not parts.hostname:
            raise ValueError("must be redis://HOST:PORT/NUMBER or rediss://HOST:PORT/NUMBER, also for Valkey")
        return url

    @field_validator("database_url", "broker_url")
    @classmethod
    def _with_password(cls, url: str, info: ValidationInfo) -> str:
        password = info.data.get(f"{str(info.field_name).removesuffix('_url')}_password")
        parts = urlsplit(url)
        if password is None or not password.get_secret_value() or parts.password is not None or not parts.hostname:
            return url
        address = parts.netloc.rpartition("@")[2]
        hidden = quote(password.get_secret_value(), safe="")
        return parts._replace(netloc=f"{parts.username or ''}:{hidden}@{address}").geturl()

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_keys(cls, value: object) -> object:
        return tuple(dict.fromkeys(filter(None, map(str.strip, value.split(","))))) if isinstance(value, str) else value

    @field_validator("image_backbones", "text_backbones", "oidc_scopes", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @field_validator("secret_keys")
    @classmethod
    def _are_keys(cls, value: SecretStr) -> SecretStr:
        for key in filter(None, map(str.strip, value.get_secret_value().split(","))):
            try:
                fits = len(base64.urlsafe_b64decode(key)) == _FERNET_KEY_BYTES
            except ValueError:
                fits = False
            if not fits:
                raise ValueError("each must be 32 random bytes in URL-safe base 64, as Fernet.generate_key() gives")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _is_issuer(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and not (parts.hostname and (parts.scheme == "https" or parts.hostname in _LOOPBACK)):
            raise ValueError("must be a URL that begins with https://; on this machine alone http:// will do")
        return value

    @field_validator("artefacts")
    @classmethod
    def _is_place(cls, value: str) -> str:
        if value and not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]+(/[\w.-]+)*/?|file://(/[^/]+)+/?", value):
            raise ValueError("must be s3://BUCKET, s3://BUCKET/PREFIX or file:///FOLDER")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _is_client(self) -> Self:
        if self.oidc_issuer and not self.oidc_client_id:
            raise ValueError("SUSPECTS_OIDC_ISSUER needs SUSPECTS_OIDC_CLIENT_ID beside it")
        return self

    @model_validator(mode="after")
    def _lives_within_lease(self) -> Self:
        if self.lease_seconds <= self.heartbeat_seconds:
            raise ValueError(
                f"SUSPECTS_LEASE_SECONDS ({self.lease_seconds:g}) must be longer than SUSPECTS_HEARTBEAT_SECONDS "
                f"({self.heartbeat_seconds:g}): a worker would count as lost before its next sign of life"
            )
        return self

    @field_validator("public_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and not (parts.scheme in ("http", "https") and parts.hostname):
            raise ValueError("must be a URL that begins with https:// or http://")
        return value.rstrip("/")

    @field_validator("home")
    @classmethod
    def _is_folder(cls, value: Path) -> Path:
        value = value.expanduser().resolve()
        if value.exists() and not value.is_dir():
            raise ValueError(f"{value} is a file, and must be a folder")
        return value

    @property
    def models_folder(self) -> Path:
        """Where pretrained models are looked for; it need not be there."""
        return self.home / "models" if self.models is None else self.models.expanduser().resolve()

    @property
    def lease(self) -> timedelta:
        """How long a worker is believed without a sign of life."""
        return timedelta(seconds=self.lease_seconds)

    def backbones_of(self, modality: str) -> tuple[str, ...]:
        """The networks that model auto tries for a modality."""
        return {"image": self.image_backbones, "text": self.text_backbones}.get(modality, ())

    @property
    def database(self) -> str:
        """The database's SQLAlchemy URL."""
        return self.database_url or f"sqlite:///{self.home / 'suspects.db'}"


# Where services of earlier versions send every job. Those of this one send it to the queue of service.domain.job_queue.
ANY_QUEUE = "jobs"
# Calls for help with a running job have a queue of their own: nobody counts them as waiting jobs, and they come last.
HELP_QUEUE = "blocks"
HELP_TASK = "worker.tasks.help_job"
# Names of messages, no modules: older services and workers know them, too.
JOB_TASK = "worker.tasks.run_job"
REQUEST_HEADER = "suspects_request_id"  # header of a message: the request that it comes from
RESCORING_TASK = "worker.tasks.rescore_job"
# A labelling tool waits for these, so they have a queue of their own, and workers can be reserved for it.
QUESTION_QUEUE = "questions"
QUESTION_TASK = "worker.tasks.answer_question"
WORKER_QUEUES = f"{QUESTION_QUEUE},gpu,cpu,{HELP_QUEUE}"


def broker_options() -> dict[str, object]:
    """Options of the broker that the service and the worker must have in common."""
    return {
        # Redis has one list a priority; a job's priority 9 (soonest) is the broker's 0.
        "priority_steps": list(range(10)),
        "queue_order_strategy": "priority",
        # Celery would hand a message that is not acknowledged within this time to a second worker while the first
        # still computes. The ledger's lease makes that harmless, and it is what recovers jobs, so a day is enough.
        "visibility_timeout": 86_400,
        # A dead broker must not block its callers: the sweep sends the message again.
        "socket_connect_timeout": 2,
        "socket_timeout": 10,
    }
