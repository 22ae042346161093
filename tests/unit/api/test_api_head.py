"""HEAD answers as GET does, without content."""

import json

import httpx
import pytest

from service.services import Services
from tests.builders import add_finished
from tests.log_lines import wait_for_line
from tests.unit.api.downloads import uploaded

CSV = b"size,port\n" + b"".join(b"%d,%s\n" % (row, (b"Oslo", b"Bergen")[row % 2]) for row in range(18))
# Those that every answer has anew, and what the server tells of how the content comes.
_OWN = {"x-request-id", "date", "transfer-encoding", "connection"}


def headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in _OWN}


@pytest.mark.parametrize(
    "path",
    [
        "/healthz",
        "/jobs",
        "/jobs/job_1",
        "/jobs/job_1/suspects?limit=3",
        "/jobs/job_1/suspects?format=csv",
        "/jobs/nothing",
        "/nothing",
        "/jobs?limit=many",
    ],
)
def test_head_has_the_status_and_the_headers_of_get(client: httpx.Client, services: Services, path: str) -> None:
    add_finished(services.database, services.blobs)
    found, whole = client.head(path), client.get(path)
    assert (found.status_code, headers(found), found.content) == (whole.status_code, headers(whole), b"")
    assert whole.content


def test_head_of_a_stream_ends_and_that_of_a_file_sends_nothing(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    info = uploaded(client, CSV, "ports.csv", label="port")
    for path, kind in (("/jobs/job_1/events", "text/event-stream"), (f"/datasets/{info['id']}/download", "text/csv")):
        found = client.head(path)
        assert (found.status_code, found.headers["Content-Type"].partition(";")[0], found.content) == (200, kind, b"")
    assert client.get("/healthz").is_success


def test_head_knows_what_the_client_has_and_is_allowed_where_get_is(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    tag = client.head("/jobs/job_1").headers["ETag"]
    assert client.head("/jobs/job_1", headers={"If-None-Match": tag}).status_code == 304
    refused = client.put("/jobs/job_1")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "DELETE, GET, HEAD")
    assert client.head("/jobs/job_1/cancel").status_code == 405


def test_the_log_says_what_was_asked(client: httpx.Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.head("/healthz")
    lines = [json.loads(line) for line in wait_for_line(capsys, '"path": "/healthz"')]
    assert [one["method"] for one in lines if one.get("path") == "/healthz"] == ["HEAD"]
