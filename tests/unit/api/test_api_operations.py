"""Health, readiness, metrics, what may be asked for, and the page."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from service.api.http.errors import problem_response
from service.api.http.static import WEB_FOLDER
from service.domain.errors import FieldError, Invalid
from service.domain.ids import new_id
from service.domain.models import AUTO, FROM_SCRATCH, MODELS
from service.domain.signal import SIGNALS
from service.services import Services
from service.store.blobs import Blobs
from service.store.engine import Database, open_database
from tests.builders import add_dataset, add_job, sign_in
from tests.log_lines import wait_for_line


def away() -> Database:
    """A database that cannot be reached."""
    return open_database("postgresql+psycopg://127.0.0.1:1/nothing")


def test_the_process_answers_whatever_else_is_away(client: httpx.Client, services: Services) -> None:
    object.__setattr__(services, "database", away())
    assert client.get("/healthz").json()["status"] == "ok"


def test_readiness_needs_a_worker_process_that_can_take_a_job(client: httpx.Client, services: Services) -> None:
    refused = client.get("/readyz")
    assert (refused.status_code, refused.headers["Content-Type"]) == (503, "application/problem+json")
    checks = refused.json()["checks"]
    assert {name: check["ok"] for name, check in checks.items()} == {
        "database": True,
        "broker": True,
        "storage": True,
        "worker": False,
    }
    for ready, late, counts in (
        (True, timedelta(minutes=1), {"alive": 0, "ready": 0}),
        (False, timedelta(), {"alive": 1, "ready": 0}),
    ):
        sign_in(services.database, ready=ready, now=services.now() - late)
        refused = client.get("/readyz")
        assert (refused.status_code, refused.json()["workers"]) == (503, counts)
    assert metric(client.get("/metrics").text, "suspects_workers_ready") == 0
    sign_in(services.database)
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.json()["workers"] == {"alive": 1, "ready": 1}
    assert metric(client.get("/metrics").text, "suspects_workers_ready") == 1


def test_the_api_alone_is_ready_without_a_worker(client: httpx.Client, services: Services) -> None:
    answer = client.get("/readyz", params={"exclude": "worker"})
    assert (answer.status_code, answer.json()["checks"]["worker"]["ok"]) == (200, False)
    object.__setattr__(services, "database", away())
    refused = client.get("/readyz", params={"exclude": "worker"})
    assert (refused.status_code, refused.json()["workers"]) == (503, None)
    assert refused.json()["detail"] == "not ready: database"


def test_readiness_says_what_is_away(client: httpx.Client, services: Services, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    object.__setattr__(services, "database", away())
    object.__setattr__(services, "blobs", Blobs(tmp_path / "file"))
    checks = client.get("/readyz").json()["checks"]
    assert [name for name, check in checks.items() if not check["ok"]] == ["database", "storage", "worker"]


def test_a_database_that_is_away_is_a_503_with_a_wait(client: httpx.Client, services: Services) -> None:
    object.__setattr__(services, "database", away())
    for path in ("/datasets", "/jobs", "/jobs/job_1", "/jobs/job_1/events", "/metrics"):
        response = client.get(path)
        assert (response.status_code, response.json()["code"]) == (503, "unavailable"), path
        assert int(response.headers["Retry-After"]) > 0


def test_an_error_can_be_told_whatever_is_in_its_words() -> None:
    error = Invalid("half \ud800", errors=[FieldError(loc=["\ud800"], msg="half \ud800")], members={"of": "\udfff"})
    answer = problem_response(error)
    assert answer.status_code == 422
    assert json.loads(bytes(answer.body))["detail"] == "half ?"


def metric(text: str, name: str) -> float:
    (found,) = re.findall(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found)


def test_metrics_count_requests_by_route_and_jobs_by_state(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    add_job(services.database, info)
    client.post("/jobs", json={"dataset": info.id})
    for name in ("job_1", "job_2", "job_3"):
        client.get(f"/jobs/{name}")
    client.get("/nowhere")
    text = client.get("/metrics").text
    assert metric(text, 'suspects_requests_total{method="GET",route="/jobs/{job_id}",status="200"}') == 1
    assert metric(text, 'suspects_requests_total{method="GET",route="/jobs/{job_id}",status="404"}') == 2
    assert metric(text, 'suspects_requests_total{method="GET",route="unmatched",status="404"}') == 1
    assert metric(text, 'suspects_request_seconds_count{method="GET",route="/jobs/{job_id}"}') == 3
    assert metric(text, 'suspects_jobs{state="queued"}') == 2
    assert metric(text, 'suspects_jobs{state="failed"}') == 0
    assert metric(text, "suspects_queue_depth") == 1
    assert "job_1" not in text


def test_metrics_and_readiness_tell_the_free_space(client: httpx.Client, services: Services) -> None:
    lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#")
    size, free = services.blobs.disk()
    assert float(lines["suspects_storage_bytes"]) == size
    assert abs(float(lines["suspects_storage_free_bytes"]) - free) < 2**30  # others write meanwhile
    assert any(name.startswith('suspects_build_info{version="') for name in lines)
    assert re.fullmatch(
        r"can be written; \d+\.\d GiB free", client.get("/readyz").json()["checks"]["storage"]["detail"]
    )


def test_what_clients_make_up_makes_no_new_metrics(client: httpx.Client) -> None:
    def series() -> set[str]:
        return set(re.findall(r"^(suspects_request\S+) \S+$", client.get("/metrics").text, re.MULTILINE))

    def made_up(number: int) -> None:
        client.get(f"/nowhere/{number}")
        client.get(f"/jobs/made_up_{number}/")
        client.get(f"/jobs/made_up_{number}")
        client.request(f"METHOD{number}", "/healthz")

    series()
    made_up(0)
    before = series()
    for number in range(1, 5):
        made_up(number)
    assert series() == before


def test_models_are_listed_with_the_schema_of_their_parameters(client: httpx.Client) -> None:
    items = {item["name"]: item for item in client.get("/models").json()["items"]}
    assert set(items) == set(MODELS)
    assert items["mlp"]["params"]["properties"]["width"]["maximum"] == 8192
    assert items["mlp"]["training"]["epochs"] > 0
    assert {item["name"] for item in items.values() if item["default"]} == {*AUTO.values(), *FROM_SCRATCH.values()}


def test_signals_are_listed_with_their_meaning(client: httpx.Client) -> None:
    items = client.get("/signals").json()["items"]
    assert [item["name"] for item in items] == list(SIGNALS)
    assert all(item["high"] and item["formula"] and item["source"] for item in items)


def test_the_page_brings_all_that_it_needs_and_nothing_else(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["Content-Type"].startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    built = WEB_FOLDER / "built"
    linked = re.findall(r'(?:src|href)="/web/([^"]+)"', page.text)
    assert {"theme.js", "reload.js", "favicon.svg"} < set(linked)
    for name in linked:
        assert client.get(f"/web/{name}").raise_for_status().content == (built / name).read_bytes()
    assert "style=" not in page.text
    assert not re.findall(r"<script(?! [^>]*src=)", page.text)
    for part in built.rglob("*.js"):
        # No address of another server; those of XML name a language, and errors of the framework its documentation.
        assert not re.findall(r"https?://(?!www\.w3\.org/|svelte\.dev/e/)[a-z]", part.read_text()), part.name


def test_a_part_that_is_named_by_its_content_is_kept_and_comes_compressed(client: httpx.Client) -> None:
    largest = max((WEB_FOLDER / "built" / "assets").glob("*.js"), key=lambda part: part.stat().st_size)
    sizes = {}
    for encoding in ("br", "gzip", "identity"):
        with client.stream("GET", f"/web/assets/{largest.name}", headers={"Accept-Encoding": encoding}) as answer:
            assert answer.headers.get("Content-Encoding", "identity") == encoding
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["Vary"] == "Accept-Encoding"
            sizes[encoding] = sum(len(chunk) for chunk in answer.iter_raw())
    assert sizes["br"] < sizes["gzip"] < sizes["identity"] / 2
    assert client.get("/").headers["Cache-Control"] == "no-cache"
    refused = client.get(f"/web/assets/{largest.name}", headers={"Accept-Encoding": "br;q=0, identity"})
    assert "Content-Encoding" not in refused.headers


def test_the_first_view_is_small(client: httpx.Client) -> None:
    """120 kB compressed: everything that the first view loads, its own parts included."""
    built = WEB_FOLDER / "built" / "assets"
    seen: set[str] = set()
    wanted = set(re.findall(r'/web/assets/([^"]+)"', client.get("/").text)) | {
        part.name for part in built.glob("Home-*") if part.suffix in (".js", ".css")
    }
    while wanted - seen:
        name = min(wanted - seen)
        seen.add(name)
        if name.endswith(".js"):
            wanted |= set(re.findall(r'from\s*"\./([^"]+\.js)"', (built / name).read_text()))
    packed = [built / f"{name}.br" if (built / f"{name}.br").exists() else built / name for name in seen]
    assert 20_000 < sum(part.stat().st_size for part in packed) < 120_000


def test_the_documentation_page_names_no_other_origin_and_all_that_it_names_is_there(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert not re.findall(r"//", page.text)
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    parts = re.findall(r'(?:src|href|data-description)="(/[^"]+)"', page.text)
    assert len(parts) == 4
    for part in parts:
        assert client.get(part).raise_for_status().content
    assert client.get("/redoc").status_code == 404


@pytest.mark.parametrize(
    "path", ["/nowhere", "/jobs/a/b", "/web/../settings.py", "/web/other.js", "/docs/redoc.standalone.js", "/jobs/%00"]
)
def test_an_unknown_path_is_a_problem(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert (response.status_code, response.headers["Content-Type"]) == (404, "application/problem+json")
    assert response.json()["code"] == "not_found"


def test_a_method_that_is_not_answered_says_which_is(client: httpx.Client) -> None:
    response = client.put("/jobs/job_1")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["Allow"]


@pytest.fixture
def broken(client: httpx.Client, services: Services) -> Iterator[httpx.Client]:
    """A client of a service with an error of ours: it lost its database. What stops the service gets it back."""
    database = services.database
    object.__setattr__(services, "database", None)
    yield client
    object.__setattr__(services, "database", database)


def test_an_error_of_ours_tells_nothing_of_the_inside(broken: httpx.Client) -> None:
    response = broken.get("/jobs")
    assert (response.status_code, response.headers["Content-Type"]) == (500, "application/problem+json")
    assert response.json()["code"] == "internal"
    assert "Traceback" not in response.text
    assert "NoneType" not in response.text


def test_an_error_of_ours_and_its_log_have_the_id_of_the_request(
    broken: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    response = broken.get("/jobs", headers={"X-Request-ID": "mine-2"})
    assert (response.status_code, response.headers["X-Request-ID"]) == (500, "mine-2")
    lines = [line for line in wait_for_line(capsys, "unforeseen error") if "unforeseen error" in line]
    assert len(lines) == 1
    assert "mine-2" in lines[0]


def test_a_refused_id_is_logged_as_json_only(client: httpx.Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.get("/healthz", headers={"X-Request-ID": "not an id"})
    lines = [json.loads(line) for line in wait_for_line(capsys, '"path": "/healthz"')]
    # The line of a request before this one may come late.
    (found,) = (line for line in lines if line.get("path") == "/healthz")
    assert found["request_id"] != "not an id"


def test_a_request_has_an_id_which_a_client_may_choose(client: httpx.Client) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
    made = {
        client.get("/healthz", headers={"X-Request-ID": odd}).headers["X-Request-ID"] for odd in ("", "a b", "x" * 99)
    }
    assert len(made) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in made)


def test_ids_sort_by_the_time_they_were_made() -> None:
    made = [new_id("job_") for _ in range(200)]
    assert len(set(made)) == 200
    assert [one[:14] for one in made] == sorted(one[:14] for one in made)
    assert all(re.fullmatch(r"job_[0-9a-hjkmnp-tv-z]{20}", one) for one in made)
