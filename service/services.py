"""Services: the dependencies of use cases and background work."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from service.outbound.secrets import Vault
from service.queue import Queue
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.engine import Database


@dataclass(frozen=True)
class Services:
    """Database, files, queue, secrets, settings and time. service.main builds it once per process."""

    settings: Settings
    database: Database
    blobs: Blobs
    queue: Queue
    vault: Vault
    now: Callable[[], datetime]
