"""Every table, SQLite and PostgreSQL alike. Change one, then `make migration m="what changed"`."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from service.domain.access import DEFAULT_PROJECT
from service.domain.signal import SIGNALS


class UTCDateTime(sa.TypeDecorator[datetime]):
    """An aware time; SQLite keeps no zone, so it goes in and comes out as UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's interface
        """Refuse naive times, store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002 - the same
        """Give UTC back."""
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _job_key(**options: Any) -> sa.Column[str]:
    return sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True, **options)


def _project() -> sa.Column[str]:
    return sa.Column("project", sa.String, nullable=False, server_default=DEFAULT_PROJECT)


datasets = sa.Table(
    "datasets",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, nullable=False, unique=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("info", sa.JSON, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    _project(),
    sa.Index("ix_datasets_project_created_at_id", "project", "created_at", "id"),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("dataset_id", sa.String, sa.ForeignKey("datasets.id"), nullable=False, index=True),
    sa.Column("reference_dataset_id", sa.String, sa.ForeignKey("datasets.id"), index=True),
    sa.Column("spec", sa.JSON, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("progress", sa.JSON, nullable=False),
    # The claim: who computes, since which attempt, and until when it is believed. Together they fence every write.
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("owner", sa.String),
    sa.Column("lease_until", UTCDateTime),
    sa.Column("woken_at", UTCDateTime),
    sa.Column("error", sa.JSON),
    sa.Column("result", sa.JSON),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("started_at", UTCDateTime),
    sa.Column("finished_at", UTCDateTime),
    sa.Column("lost_at", UTCDateTime),  # when its lease ran out, until it is claimed again
    # Which workers may do it (service.domain.job_queue). An earlier version writes none.
    sa.Column("queue", sa.String, nullable=False, server_default="cpu"),
    _project(),
    sa.Index("ix_jobs_project_created_at_id", "project", "created_at", "id"),
    sa.Index("ix_jobs_state_created_at", "state", "created_at"),
    # Whose turn it is, and how many jobs of a project wait.
    sa.Index("ix_jobs_project_started_at", "project", "started_at"),
    sa.Index("ix_jobs_project_queue_started_at", "project", "queue", "started_at"),
    sa.Index("ix_jobs_state_project", "state", "project"),
)

# Weights and exported programs of clients, which jobs may train on.
networks = sa.Table(
    "networks",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("digest", sa.String, nullable=False, unique=True),
    sa.Column("info", sa.JSON, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    _project(),
    sa.Index("ix_networks_project_created_at_id", "project", "created_at", "id"),
)

# Which jobs begin with one; a table of its own, so that nothing has to be done to that of jobs.
job_networks = sa.Table(
    "job_networks",
    metadata,
    _job_key(),
    sa.Column("network_id", sa.String, sa.ForeignKey("networks.id"), nullable=False, index=True),
)

job_events = sa.Table(
    "job_events",
    metadata,
    _job_key(),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
)

# One row per ranked sample, one column per signal: readable by any SQL tool. The two answers have an index each; any
# other signal is sorted on demand, which takes a fraction of a second on a million rows.
suspects = sa.Table(
    "suspects",
    metadata,
    _job_key(),
    sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("sample_id", sa.String, nullable=False),
    sa.Column("given_label", sa.String, nullable=False),
    sa.Column("suggested_label", sa.String, nullable=False),
    sa.Column("suggested_confidence", sa.Double, nullable=False),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("planted_kind", sa.String),
    sa.Column("planted_label", sa.String),
    *(sa.Column(name, sa.Double) for name in SIGNALS),
    sa.Index("ix_suspects_job_id_sample_id", "job_id", "sample_id", unique=True),
    sa.Index("ix_suspects_job_id_mislabeled_index", "job_id", "mislabeled", "index"),
    sa.Index("ix_suspects_job_id_anomalous_index", "job_id", "anomalous", "index"),
    sa.Index("ix_suspects_job_id_verdict", "job_id", "verdict"),
)

signal_summaries = sa.Table(
    "signal_summaries",
    metadata,
    _job_key(),
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("summary", sa.JSON, nullable=False),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("body_digest", sa.String, nullable=False),
    sa.Column("resource_id", sa.String, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    # Whose jobs it takes, separated by commas; null for a worker of an earlier version, which takes every job.
    sa.Column("queues", sa.String),
    sa.Column("seen_at", UTCDateTime, nullable=False),
)

# Processes of workers that can take a job. `place` names the machine and its cores that they share.
worker_processes = sa.Table(
    "worker_processes",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("worker_id", sa.String, nullable=False, index=True),
    sa.Column("place", sa.String, nullable=False),
    sa.Column("seen_at", UTCDateTime, nullable=False),
)

# What people decided of samples. Nothing is ever changed here: the row with the highest `seq` of a sample is the job's
# last word on it. `given_label` is what the sample was called there: without it, a keep does not say what was kept.
reviews = sa.Table(
    "reviews",
    metadata,
    _job_key(),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sample_id", sa.String, nullable=False),
    sa.Column("decision", sa.String, nullable=False),
    sa.Column("label", sa.String),
    sa.Column("given_label", sa.String),
    sa.Column("source", sa.String, nullable=False),
    sa.Column("reviewer", sa.String),
    sa.Column("batch", sa.String),  # what was decided in one request, to be undone together
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Index("ix_reviews_job_id_sample_id_seq", "job_id", "sample_id", "seq"),
    sa.Index("ix_reviews_job_id_batch", "job_id", "batch"),
)

# A completed job whose samples are scored again, without a training, by what people verified since: its ranking gets the version.
# `reviews`: the number of the last review of the job that there was when it was asked for. Claims are as those of jobs.
rescorings = sa.Table(
    "rescorings",
    metadata,
    _job_key(),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("reviews", sa.Integer, nullable=False),
    sa.Column("samples", sa.Integer),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("owner", sa.String),
    sa.Column("lease_until", UTCDateTime),
    sa.Column("woken_at", UTCDateTime),
    sa.Column("error", sa.JSON),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("finished_at", UTCDateTime),
)

# Blocks of rows of a running job's scoring that other workers may compute; `claim` is the owner of the job's claim, `kind` what a
# process must be to compute the same bits. The worker of the job removes those that it computes itself, and those that it has read.
blocks = sa.Table(
    "blocks",
    metadata,
    _job_key(),
    sa.Column("claim", sa.String, primary_key=True),
    sa.Column("computation", sa.String, primary_key=True),
    sa.Column("first", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("helper", sa.String),
    sa.Column("done", sa.Boolean, nullable=False),
)

# Audits: how many labels of a job are wrong, measured by reviews of samples that were drawn. Batches, models and entries are
# only added: the intervals rest on them. `index` is the sample's place in the upload, as in the table `suspects`.
audits = sa.Table(
    "audits",
    metadata,
    _job_key(),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("confirm", sa.Integer, nullable=False),  # how many people must call a label wrong
    sa.Column("created_at", UTCDateTime, nullable=False),
)

audit_batches = sa.Table(
    "audit_batches",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("job_id", sa.String, sa.ForeignKey("audits.job_id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("goal", sa.String, nullable=False),
    sa.Column("reviewer", sa.String),
    sa.Column("items", sa.JSON, nullable=False),  # indexes in the order in which they are shown
    sa.Column("created_at", UTCDateTime, nullable=False),
)

# Working models: entries from `first` on were drawn by the last of them. `ranked_by`: the job whose ranking has its
# bins, with "@" and its version if it was scored again, and "#" and the number of the proxy that divides them.
audit_models = sa.Table(
    "audit_models",
    metadata,
    sa.Column("job_id", sa.String, sa.ForeignKey("audits.job_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("first", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("ranked_by", sa.String, nullable=False),
    sa.Column("reviewed", sa.Integer, nullable=False),
    sa.Column("probability", sa.JSON, nullable=False),
    sa.Column("weight", sa.JSON, nullable=False),
    sa.Column("left", sa.JSON, nullable=False),
)

# Proxies: judges with an opinion on every label, numbered from 1; the newest shares in the draws. `opinions`: a byte for each ranked
# sample in the order of the upload, compressed.
audit_proxies = sa.Table(
    "audit_proxies",
    metadata,
    _job_key(),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("opinions", sa.LargeBinary, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
)

# `kind`: drawn by chance, listed by its rank, or outside: reviewed without the audit. A sample leaves once.
audit_entries = sa.Table(
    "audit_entries",
    metadata,
    sa.Column("job_id", sa.String, sa.ForeignKey("audits.job_id", ondelete="CASCADE"), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("index", sa.BigInteger, nullable=False),
    sa.Column("bin", sa.SmallInteger, nullable=False),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("batch", sa.String),
    sa.UniqueConstraint("job_id", "index"),
)

# Which dataset a corrected one was made of. Parent and job may be deleted later; what they were stays known.
dataset_versions = sa.Table(
    "dataset_versions",
    metadata,
    sa.Column("dataset_id", sa.String, sa.ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("parent_id", sa.String, nullable=False, index=True),
    sa.Column("job_id", sa.String, nullable=False),
    sa.Column("applied", sa.String, nullable=False),
    sa.Column("changes", sa.JSON, nullable=False),
    sa.Column("verified", sa.JSON, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
)

# Jobs that are run again once enough labels have changed. `next_job_id` is set once, by whoever started that job.
# `afresh`: over what their labelling tool has by then, instead of their corrected dataset.
loops = sa.Table(
    "loops",
    metadata,
    _job_key(),
    sa.Column("after", sa.Integer),
    sa.Column("quiet_seconds", sa.Double, nullable=False),
    sa.Column("cool_down_seconds", sa.Double, nullable=False),
    sa.Column("asked_at", UTCDateTime),
    sa.Column("afresh", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("next_job_id", sa.String, index=True),
    sa.Column("trouble", sa.String),
)

# Whom to tell how a job ended, and the messages: written with the end itself, sent afterwards, as often as it takes.
webhooks = sa.Table(
    "webhooks",
    metadata,
    _job_key(),
    sa.Column("url", sa.String, nullable=False),
    sa.Column("secret", sa.String, nullable=False),
)

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("job_id", sa.String, sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("event", sa.String, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("due_at", UTCDateTime, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.String),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("ended_at", UTCDateTime),
    sa.Index("ix_deliveries_created_at_id", "created_at", "id"),
    sa.Index("ix_deliveries_state_due_at", "state", "due_at"),
)

# Labelling tools. Tokens and path secrets are encrypted, as those of webhooks are (service.outbound.secrets).
connections = sa.Table(
    "connections",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("url", sa.String, nullable=False),
    sa.Column("token", sa.Text, nullable=False),
    sa.Column("token_kind", sa.String, nullable=False),
    sa.Column("path_secret", sa.Text, nullable=False),
    sa.Column("seen", sa.JSON, nullable=False),
    sa.Column("tested_at", UTCDateTime, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    _project(),
    sa.Index("ix_connections_project_created_at_id", "project", "created_at", "id"),
)

# Jobs whose tasks come from a tool. `waiting`: their dataset is still to be pulled, and no worker may take them.
# `origin` is the job that pulled; `asked_at`: reconciling was asked for and has not begun; `reconciled_at`: when it was
# done or tried last, `seen`: what the project looked like then, `trouble`: why it could not be done.
pulls = sa.Table(
    "pulls",
    metadata,
    _job_key(),
    sa.Column("connection_id", sa.String, sa.ForeignKey("connections.id", ondelete="SET NULL")),
    sa.Column("project", sa.BigInteger, nullable=False),
    sa.Column("from_name", sa.String),
    sa.Column("policy", sa.String, nullable=False),
    sa.Column("waiting", sa.Boolean, nullable=False),
    sa.Column("origin", sa.String, nullable=False),
    sa.Column("asked_at", UTCDateTime),
    sa.Column("reconciled_at", UTCDateTime),
    sa.Column("seen", sa.String),
    sa.Column("trouble", sa.String),
    sa.Index("ix_pulls_connection_id_project", "connection_id", "project"),
)

# What was written back into the tool: what a second push, undoing and reconciling need to know.
pushes = sa.Table(
    "pushes",
    metadata,
    _job_key(),
    sa.Column("review_project", sa.BigInteger, index=True),
    sa.Column("state", sa.JSON, nullable=False),
    sa.Column("pushed_at", UTCDateTime, nullable=False),
)

# Keys of callers. `hash`: Argon2id of the secret part. What was said with a key outlives it, so that nothing refers to its row.
keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("project", sa.String, nullable=False),
    sa.Column("quota", sa.JSON, nullable=False),
    sa.Column("hash", sa.String, nullable=False),
    sa.Column("created_at", UTCDateTime, nullable=False),
    sa.Column("created_by", sa.String),
    sa.Column("expires_at", UTCDateTime),
    sa.Column("last_used_at", UTCDateTime),
    sa.Index("ix_keys_created_at_id", "created_at", "id"),
)

# Jobs that a key with a quota has begun on a day (UTC); earlier days are forgotten.
key_jobs = sa.Table(
    "key_jobs",
    metadata,
    sa.Column("key_id", sa.String, sa.ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("jobs", sa.Integer, nullable=False),
)

# What happened to jobs, for metrics (service.store.counters).
counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("label", sa.String, primary_key=True),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
)

# Who did what, when and from where. Triggers of migrations refuse to change a row. They let a row be deleted only where it is
# older than `audit_log_retention` says.
audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("at", UTCDateTime, nullable=False),
    sa.Column("project", sa.String),
    sa.Column("key", sa.String),
    sa.Column("name", sa.String),
    sa.Column("address", sa.String),
    sa.Column("method", sa.String, nullable=False),
    sa.Column("path", sa.String, nullable=False),
    sa.Column("status", sa.SmallInteger, nullable=False),
    sa.Column("request_id", sa.String),
    sa.Index("ix_audit_log_project_seq", "project", "seq"),
)

# One row while old rows of the audit log are deleted, else none. The trigger lets rows go that are older.
audit_log_retention = sa.Table("audit_log_retention", metadata, sa.Column("older_than", UTCDateTime, primary_key=True))

# One row: the schema of the oldest code that can run with the schema of this database (service.store.engine.OLDEST_COMPATIBLE).
schema_compatibility = sa.Table("schema_compatibility", metadata, sa.Column("oldest_code", sa.String, primary_key=True))
