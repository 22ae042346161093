"""A key makes one resource, on SQLite and on PostgreSQL."""

import pytest
import sqlalchemy as sa

from service.domain.errors import Invalid
from service.store import idempotency
from service.store.engine import Database
from tests.builders import NOON


def test_a_key_leads_to_what_it_made_and_to_nothing_else(database: Database) -> None:
    with database.write() as connection:
        assert idempotency.find(connection, "k", "body") is None
        idempotency.add(connection, "k", "body", "job_1", NOON)
        assert idempotency.find(connection, "k", "body") == "job_1"
        with pytest.raises(Invalid) as caught:
            idempotency.find(connection, "k", "another body")
    assert caught.value.errors[0].loc == ["header", "Idempotency-Key"]


def test_a_key_is_kept_once(database: Database) -> None:
    with database.write() as connection:
        idempotency.add(connection, "k", "body", "job_1", NOON)
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
        idempotency.add(connection, "k", "body", "job_2", NOON)


def test_a_deleted_resource_frees_its_keys(database: Database) -> None:
    with database.write() as connection:
        idempotency.add(connection, "k", "body", "job_1", NOON)
        idempotency.add(connection, "l", "body", "job_2", NOON)
        idempotency.remove_of(connection, "job_1")
        assert idempotency.find(connection, "k", "another body") is None
        assert idempotency.find(connection, "l", "body") == "job_2"
