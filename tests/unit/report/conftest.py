"""The facts of a small job."""

from pathlib import Path

import pytest

from service.report.facts import Facts
from service.report.gather import gather
from service.store import jobs
from service.store.blobs import Blobs
from service.store.engine import migrate, open_database
from tests.builders import add_finished


@pytest.fixture
def facts(tmp_path: Path, blobs: Blobs) -> Facts:
    """Of nine ranked rows of a table, two of which carry a wrong label."""
    url = f"sqlite:///{tmp_path / 'suspects.db'}"
    migrate(url)
    database = open_database(url)
    info = add_finished(database, blobs)
    with database.read() as connection:
        job = jobs.get(connection, "job_1")
    assert job is not None
    found = gather(database, blobs, job, info)
    database.close()
    return found
