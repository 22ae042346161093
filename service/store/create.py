"""Creation where two may create the same at once: the first one's row is the one that both get."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import sqlalchemy as sa

from service.domain.errors import disk_full
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.seal import seal_folder

T = TypeVar("T")


class Digested(Protocol):
    """A resource of which there is one for each digest of its content."""

    @property
    def id(self) -> str:
        """Differs for each attempt to create it."""

    @property
    def digest(self) -> str:
        """The same for the same content; unique in its table."""


D = TypeVar("D", bound=Digested)


def create_or_adopt(
    database: Database, create: Callable[[sa.Connection], T], adopt: Callable[[sa.Connection], T | None]
) -> T:
    """What `create` gives, in one transaction; where that breaks a constraint, what `adopt` finds after the rollback.

    Raises IntegrityError where `adopt` finds nothing: the constraint was another one, a foreign key say.
    """
    try:
        with database.write() as connection:
            return create(connection)
    except sa.exc.IntegrityError:
        with database.read() as connection:
            found = adopt(connection)
        if found is None:
            raise
        return found


def create_with_files(
    database: Database,
    blobs: Blobs,
    folder: Path,
    make: Callable[[], D],
    add: Callable[[sa.Connection, D], None],
    by_digest: Callable[[sa.Connection, str], D | None],
) -> D:
    """What `make` made, with its files in `folder`, which are sealed and stored, and `add` wrote down; or the row of the same digest that was quicker.

    The folder is removed where the row is not this one's. Raises StorageFull, ArtefactsUnavailable, and what `make` and `add` raise.
    """

    def create(connection: sa.Connection) -> D:
        add(connection, made)
        return made

    try:
        with disk_full():
            made = make()
            seal_folder(folder)
        blobs.upload(folder)
        kept = create_or_adopt(database, create, lambda connection: by_digest(connection, made.digest))
    except BaseException:
        blobs.remove(folder)
        raise
    if kept.id != made.id:
        blobs.remove(folder)
    return kept
