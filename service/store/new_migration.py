"""Writes the migration for what changed in the tables: `make migration m="what changed"`."""

import sys
import tempfile
from pathlib import Path
from typing import Any

from alembic import command
from alembic.script import ScriptDirectory

from service.store.engine import migrate, migration_config


def write_migration(message: str) -> Path:
    """Write a migration from the newest schema to that of `service.store.tables`, and give its path.

    Its number is the next one, and its file is called after the message: 0009_what_changed.py. Raises ValueError without
    a message, and where the newest schema is that of the tables already.
    """
    if not message.strip():
        raise ValueError('say what changed: make migration m="what changed"')
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/newest.db"
        migrate(url)
        config = migration_config(url)
        newest = ScriptDirectory.from_config(config).get_current_head()
        number = f"{int(newest or 0) + 1:04d}"
        written = command.revision(
            config, message.strip(), autogenerate=True, rev_id=number, process_revision_directives=_refuse_empty
        )
    if written is None or isinstance(written, list):
        raise TypeError("alembic wrote no migration, or several")
    return Path(written.path)


def _refuse_empty(_context: Any, _revision: Any, directives: list[Any]) -> None:
    if directives[0].upgrade_ops.is_empty():
        raise ValueError("nothing to migrate: change service/store/tables.py or service/domain/signal.py first")


if __name__ == "__main__":
    try:
        print(write_migration(" ".join(sys.argv[1:])).relative_to(Path.cwd()))  # noqa: T201  a command's answer
    except ValueError as error:
        sys.exit(str(error))
