"""A database that a newer version has migrated: older code runs with it where it says so, and the schema goes back."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from service.store import datasets, engine
from service.store.engine import NotUnicode, SchemaTooNew, migrate, open_database, schema_state
from tests import servers
from tests.builders import add_dataset

NEWER = "9000"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.servers)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of this test's own, with the newest schema."""
    if request.param == "sqlite":
        own = f"sqlite:///{tmp_path / 'own.db'}"
    else:
        server, name = request.getfixturevalue("postgres_url"), f"own_{uuid.uuid4().hex[:8]}"
        servers.administer(server, f"CREATE DATABASE {name}")
        own = sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    migrate(own)
    yield own
    if request.param != "sqlite":
        servers.administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.servers
@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_unicode_is_refused_with_the_cure(postgres_url: str, encoding: str) -> None:
    name = f"own_{uuid.uuid4().hex[:8]}"
    locale = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    servers.administer(postgres_url, f"CREATE DATABASE {name} ENCODING '{encoding}' {locale}")
    try:
        with pytest.raises(NotUnicode, match=f"keeps text as {encoding}.*ENCODING 'UTF8'"):
            migrate(sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False))
    finally:
        servers.administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def upgraded_elsewhere(url: str, oldest: str) -> None:
    """What a newer version does: a table, and a column with a default; it says which code can run with them."""
    servers.administer(
        url,
        "CREATE TABLE newer (id VARCHAR)",
        "ALTER TABLE datasets ADD COLUMN newer VARCHAR DEFAULT 'x' NOT NULL",
        f"UPDATE alembic_version SET version_num = '{NEWER}'",
        f"UPDATE schema_compatibility SET oldest_code = '{oldest}'",
    )


def test_older_code_runs_with_a_newer_schema_that_bears_it(url: str) -> None:
    upgraded_elsewhere(url, engine.OLDEST_COMPATIBLE)
    found = migrate(url)
    assert (found.revision, found.is_newer, found.fits) == (NEWER, True, True)
    database = open_database(url)
    info = add_dataset(database)
    with database.read() as connection:
        assert datasets.get(connection, info.id) == info
    database.close()


def test_older_code_refuses_a_newer_schema_that_does_not_bear_it_and_names_the_cure(url: str) -> None:
    newest = schema_state(url).newest
    upgraded_elsewhere(url, NEWER)
    assert not schema_state(url).fits
    with pytest.raises(SchemaTooNew, match=f"suspects migrate down --to {newest}"):
        migrate(url)


def test_a_schema_goes_back_and_forth_with_what_is_in_it(url: str) -> None:
    database = open_database(url)
    info = add_dataset(database)
    newest = schema_state(url).newest
    before = f"{int(newest) - 2:04d}"
    assert migrate(url, before).revision == before
    assert not schema_state(url).fits
    assert migrate(url).revision == newest
    with database.read() as connection:
        assert datasets.get(connection, info.id) == info
    database.close()


def test_the_newest_schema_is_that_of_the_last_migration(url: str) -> None:
    assert schema_state(url).newest == ScriptDirectory.from_config(engine.migration_config(url)).get_current_head()
