"""A key makes one resource, on SQLite and on PostgreSQL."""

import pytest
import sqlalchemy as sa

from service.domain.errors import Invalid
from service.store import idempotency
from service.store.engine import Database
from service.store.idempotency import IdempotentRequest
from tests.builders import NOON

FIRST, ANOTHER = IdempotentRequest("k", "body"), IdempotentRequest("k", "another body")
OTHER_KEY = IdempotentRequest("l", "body")


def test_a_key_leads_to_what_it_made_and_to_nothing_else(database: Database) -> None:
    with database.write() as connection:
        assert FIRST.find(connection) is None
        FIRST.add(connection, "job_1", NOON)
        assert FIRST.find(connection) == "job_1"
        with pytest.raises(Invalid) as caught:
            ANOTHER.find(connection)
    assert caught.value.errors[0].loc == ["header", "Idempotency-Key"]


def test_a_key_is_kept_once(database: Database) -> None:
    with database.write() as connection:
        FIRST.add(connection, "job_1", NOON)
    with pytest.raises(sa.exc.IntegrityError), database.write() as connection:
        FIRST.add(connection, "job_2", NOON)


def test_requests_without_a_key_have_nothing_to_do_with_each_other(database: Database) -> None:
    plain = IdempotentRequest(None, "body")
    with database.write() as connection:
        plain.add(connection, "job_1", NOON)
        plain.add(connection, "job_2", NOON)
        assert plain.find(connection) is None


def test_a_deleted_resource_frees_its_keys(database: Database) -> None:
    with database.write() as connection:
        FIRST.add(connection, "job_1", NOON)
        OTHER_KEY.add(connection, "job_2", NOON)
        idempotency.remove_of(connection, "job_1")
        assert ANOTHER.find(connection) is None
        assert OTHER_KEY.find(connection) == "job_2"
