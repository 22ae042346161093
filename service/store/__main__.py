"""Schema of the database of SUSPECTS_DATABASE_URL: `python -m service.store [up | down REVISION | status]`. Prints it as JSON."""

import json
import sys
from dataclasses import asdict

from alembic.util.exc import CommandError
from sqlalchemy.exc import SQLAlchemyError

from service.environment import SettingsError, read_settings
from service.store.engine import NotUnicode, SchemaTooNew, migrate, schema_state


def main(action: str = "up", revision: str = "head") -> None:
    """Migrate or look, or exit with the reason."""
    try:
        settings = read_settings()
        settings.home.mkdir(parents=True, exist_ok=True)
        found = schema_state(settings.database) if action == "status" else migrate(settings.database, revision)
    except (OSError, SettingsError, SQLAlchemyError, SchemaTooNew, NotUnicode, CommandError) as error:
        sys.exit(str(getattr(error, "orig", None) or error))
    sys.stdout.write(json.dumps({**asdict(found), "fits": found.fits}))


if __name__ == "__main__":
    main(*sys.argv[1:])
