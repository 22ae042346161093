"""Services: the one way in which code gets at the database, files, queue, secrets, settings and time."""

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
    """Everything that a use case needs beside its own values. service.main makes it once per process."""

    settings: Settings
    database: Database
    blobs: Blobs
    queue: Queue
    vault: Vault
    now: Callable[[], datetime]
