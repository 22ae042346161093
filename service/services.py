"""Services: the dependencies of use cases and background work."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from service.domain.comparison import JobDiff
from service.ingest.confined import IngestProcesses
from service.ingest.thumbnails import Thumbnails
from service.outbound.provider import Provider
from service.outbound.quotas import Quotas
from service.outbound.secrets import Vault
from service.queue import Queue
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.completed_jobs import CompletedJobs
from service.store.engine import Database
from service.store.leases import LeaseWatch
from service.store.open_audits import OpenAudits
from service.store.open_rankings import OpenRankings
from service.store.ranked_texts import KEPT, RankedText
from service.store.recent import Recent
from service.store.watch import OverviewWatch

_VERIFIED_KEYS = 1000
_PREVIEWS = 20_000
_COMPARED = 32
_PAGES = 256  # of 60 kB where they have 50 rows and every signal


@dataclass
class Collected:
    """What this process removed of what nothing needs: numbers and bytes by kind. One thread writes them."""

    numbers: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, size: int, number: int = 1) -> None:
        """Count so many things of together so many bytes."""
        self.numbers[kind] += number
        self.sizes[kind] += size


@dataclass(frozen=True)
class Services:
    """Database, files, queue, secrets, sign-in provider, settings, time, what is kept open of jobs, rankings and audits, processes that read uploads. service.main builds it once per process.

    `verified_keys` has the hash that a key was found to have, by the digest of the key. `rerun_wanted` is set when a rerun is due at once, so that it does not wait for the next sweep.
    """

    settings: Settings
    database: Database
    blobs: Blobs
    queue: Queue
    vault: Vault
    quotas: Quotas
    provider: Provider
    now: Callable[[], datetime]
    open_rankings: OpenRankings = field(default_factory=OpenRankings)
    completed_jobs: CompletedJobs = field(default_factory=CompletedJobs)
    ranked_texts: Recent[RankedText] = field(default_factory=lambda: Recent(KEPT))
    previews: Recent[dict[str, Any]] = field(default_factory=lambda: Recent(_PREVIEWS))
    compared: Recent[JobDiff] = field(default_factory=lambda: Recent(_COMPARED))
    thumbnails: Thumbnails = field(default_factory=Thumbnails)
    pages: Recent[tuple[bytes, str | None]] = field(default_factory=lambda: Recent(_PAGES))
    open_audits: OpenAudits = field(default_factory=OpenAudits)
    rerun_wanted: threading.Event = field(default_factory=threading.Event)
    watch: OverviewWatch = field(default_factory=OverviewWatch)
    leases: LeaseWatch = field(default_factory=LeaseWatch)
    ingests: IngestProcesses = field(default_factory=IngestProcesses)
    collected: Collected = field(default_factory=Collected)
    verified_keys: Recent[str] = field(default_factory=lambda: Recent(_VERIFIED_KEYS))

    def of(self, project: str) -> "Services":
        """The same services for a caller of this project: they see and write the rows of this project alone."""
        return replace(self, database=self.database.of(project))
