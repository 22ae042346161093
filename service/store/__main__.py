"""Migrates the database of SUSPECTS_DATABASE_URL: `python -m service.store`."""

import sys

from sqlalchemy.exc import SQLAlchemyError

from service.settings import Settings
from service.store.engine import migrate


def main() -> None:
    """Migrate, or exit with the reason."""
    settings = Settings()
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        migrate(settings.database)
    except (OSError, SQLAlchemyError) as error:
        sys.exit(str(getattr(error, "orig", None) or error))


if __name__ == "__main__":
    main()
