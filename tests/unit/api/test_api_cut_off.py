"""What becomes of a file that is being sent when its job or dataset is deleted."""

import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.actions.delete import delete_ended_job
from service.services import Services
from tests.builders import add_finished
from tests.log_lines import wait_for_line

EXPORT = "/jobs/job_1/suspects?format=csv"


@pytest.fixture(autouse=True)
def finished(services: Services) -> None:
    add_finished(services.database, services.blobs)


def read_late(services: Services, *, deleted: bool) -> Any:
    """An export whose files are gone after its first bytes."""

    def export(*_given: object, **_options: object) -> Iterator[bytes]:
        yield b"id\n"
        if deleted:
            delete_ended_job(services, "job_1")
        (services.blobs.job("job_1") / "missing").read_bytes()

    return export


@pytest.mark.parametrize(("deleted", "said"), [(True, "deleted while it was sent"), (False, "unforeseen error")])
def test_an_export_that_a_deletion_cuts_off_is_no_fault_of_the_service(
    client: httpx.Client,
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    deleted: bool,
    said: str,
) -> None:
    monkeypatch.setattr("service.api.suspects.export_ranking", read_late(services, deleted=deleted))
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        client.get(EXPORT)
    lines = "".join(wait_for_line(capsys, said))
    assert ("Traceback" in lines, "unforeseen" in lines) == (not deleted, not deleted)


def test_what_an_export_holds_is_given_back_when_its_client_goes_away(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()

    def endless() -> Iterator[bytes]:
        try:
            while True:
                yield b"row\n" * 1000
        finally:
            closed.set()

    content = endless()  # kept here, so that only closing it ends it
    monkeypatch.setattr("service.api.suspects.export_ranking", lambda *_given, **_options: content)
    with client.stream("GET", EXPORT) as answer:
        next(answer.iter_raw())
    assert closed.wait(10)
