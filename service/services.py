"""Services: the dependencies of use cases and background work."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from service.outbound.secrets import Vault
from service.queue import Queue
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.open_rankings import OpenRankings


@dataclass(frozen=True)
class Services:
    """Database, files, queue, secrets, settings, time, and rankings kept open. service.main builds it once per process."""

    settings: Settings
    database: Database
    blobs: Blobs
    queue: Queue
    vault: Vault
    now: Callable[[], datetime]
    open_rankings: OpenRankings = field(default_factory=OpenRankings)
