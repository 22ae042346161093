"""Services: the dependencies of use cases and background work."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from service.outbound.secrets import Vault
from service.queue import Queue
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.open_audits import OpenAudits
from service.store.open_rankings import OpenRankings
from service.store.watch import OverviewWatch


@dataclass(frozen=True)
class Services:
    """Database, files, queue, secrets, settings, time, and rankings and audits kept open. service.main builds it once per process.

    `rerun_wanted` is set when a rerun is due at once, so that it does not wait for the next sweep.
    """

    settings: Settings
    database: Database
    blobs: Blobs
    queue: Queue
    vault: Vault
    now: Callable[[], datetime]
    open_rankings: OpenRankings = field(default_factory=OpenRankings)
    open_audits: OpenAudits = field(default_factory=OpenAudits)
    rerun_wanted: threading.Event = field(default_factory=threading.Event)
    watch: OverviewWatch = field(default_factory=OverviewWatch)
