"""What the client sends, sends again, and raises."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.unit.client.conftest import Handler
from usual_suspects import (
    ApiError,
    AsyncClient,
    Client,
    Conflict,
    Invalid,
    JobCancelled,
    JobFailed,
    NotFound,
    WaitedTooLong,
)
from usual_suspects.client import TooMany, Unavailable, UnexpectedAnswer, Unreachable, errors, models
from usual_suspects.client.conversion import to_model

ClientOf = Callable[[Handler], Client]
DATASET = {
    "id": "ds_1", "name": "animals", "modality": "tabular", "rows": 3, "classes": ["cat", "dog"], "class_counts": {"cat": 2, "dog": 1},
    "features": [], "splits": {"train": 3}, "digest": "sha256:1", "skipped_rows": 0, "inferred": {"format": "csv"}, "warnings": [],
    "created_at": "2026-01-01T12:00:00Z",
}  # fmt: skip


def job(state: str = "completed", **changes: object) -> dict[str, object]:
    training = {
        "epochs": 1,
        "batch_size": 2,
        "learning_rate": 0.1,
        "optimizer": "sgd",
        "schedule": "constant",
        "momentum": 0.9,
    }
    return {
        "id": "job_1", "name": "animals", "state": state, "progress": {"fraction": 0.5, "phase": state, "detail": "", "eta_seconds": None},
        "spec": {
            "dataset": "ds_1", "reference": None, "model": {"name": "mlp"}, "influence": {}, "signals": [], "glitches": None, "name": "animals",
            "priority": 0, "training": {**training, "weight_decay": 0, "seed": 0, "checkpoints": "all"},
        },
        "dataset": DATASET, "attempts": 1, "created_at": "2026-01-01T12:00:00Z", "started_at": None, "finished_at": None, "error": None,
        "result": None, "links": {"self": "/jobs/job_1", "suspects": "/jobs/job_1/suspects", "events": "/jobs/job_1/events"}, **changes,
    }  # fmt: skip


def problem(status: int, code: str, **more: object) -> httpx.Response:
    body = {
        "type": f"urn:usual-suspects:problem:{code}",
        "title": "No",
        "status": status,
        "detail": "said so",
        "code": code,
    }
    return httpx.Response(status, json={**body, **more}, headers={"Content-Type": "application/problem+json"})


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "not_found", NotFound),
        (409, "conflict", Conflict),
        (422, "invalid", Invalid),
        (401, "unauthorized", errors.Unauthorized),
    ],
)
def test_an_error_has_the_type_and_the_words_of_the_service(
    client_of: ClientOf, status: int, code: str, kind: type[ApiError]
) -> None:
    faults = [{"loc": ["training", "epochs"], "msg": "too few"}]
    client = client_of(lambda _: problem(status, code, errors=faults, state="training"))
    with pytest.raises(kind, match="said so") as raised:
        client.job("job_1")
    found = raised.value
    assert isinstance(found, ApiError)
    assert (found.status, found.code, found.errors, found.members) == (status, code, faults, {"state": "training"})


def test_every_code_of_the_service_has_an_error_of_the_client() -> None:
    from service.domain.errors import SuspectsError

    served = {kind.code for kind in SuspectsError.__subclasses__()}
    assert served <= {kind.code for kind in ApiError.__subclasses__()}


def test_the_key_is_sent_and_address_and_key_come_from_the_environment(
    client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"status": "ready", "checks": {}})

    assert client_of(answer).readiness().status == "ready"
    assert seen[0].headers["Authorization"] == "Bearer secret"
    monkeypatch.setenv("SUSPECTS_URL", "http://named.test/")
    monkeypatch.setenv("SUSPECTS_KEY", "own")
    with Client() as named:
        assert named.url == "http://named.test"
        assert named._transport._http.headers["Authorization"] == "Bearer own"
    monkeypatch.delenv("SUSPECTS_URL")
    with Client() as local:
        assert local.url == "http://127.0.0.1:8000"
    with pytest.raises(ApiError, match="Not an address"):
        Client("http://[")


def test_a_broken_upload_is_sent_again_whole_and_makes_one_job(client_of: ClientOf, tmp_path: Path) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        request.read()
        sent.append(request)
        if len(sent) < 3:
            raise httpx.WriteError("broken pipe")
        return httpx.Response(202, json=job("queued"))

    (tmp_path / "animals.csv").write_bytes(b"a,y\n1,cat\n" * 50)
    submitted = client_of(answer).submit(tmp_path / "animals.csv", label="y", model="mlp", training={"epochs": 2})
    assert submitted.state == "queued"
    assert len({request.headers["Idempotency-Key"] for request in sent}) == 1
    assert [b"1,cat\n" * 1 in request.content and request.content.count(b"1,cat") for request in sent] == [50, 50, 50]
    spec = sent[0].content.partition(b'name="spec"')[2].split(b"\r\n")[2]
    assert json.loads(spec) == {
        "name": "animals.csv",
        "model": {"name": "mlp"},
        "training": {"epochs": 2},
        "dataset": {"label": "y", "name": "animals.csv"},
    }


def test_the_service_says_how_long_to_wait(client_of: ClientOf, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    answers = [
        httpx.Response(429, json={"code": "too_many", "detail": "wait"}, headers={"Retry-After": "7"}),
        httpx.Response(503, json={"code": "unavailable", "detail": "no database"}, headers={"Retry-After": "2"}),
        httpx.Response(200, json=job()),
    ]
    client = client_of(lambda _: answers.pop(0))
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    assert client.job("job_1").id == "job_1"
    assert waited == [7, 2]


def test_a_long_wait_is_left_to_the_caller(client_of: ClientOf) -> None:
    answer = httpx.Response(429, json={"code": "too_many", "detail": "full"}, headers={"Retry-After": "3600"})
    with pytest.raises(TooMany, match="full") as raised:
        client_of(lambda _: answer).job("job_1")
    assert raised.value.retry_after == 3600


def test_it_gives_up_after_the_retries(client_of: ClientOf) -> None:
    tried: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tried.append(request.url.path)
        raise httpx.ConnectError("refused")

    with pytest.raises(Unreachable, match="suspects up"):
        client_of(answer).job("job_1")
    assert len(tried) == 4


def test_what_may_have_arrived_and_cannot_be_sent_twice_is_not(client_of: ClientOf) -> None:
    tried: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tried.append(request.method)
        if request.method == "GET":
            return httpx.Response(200, json=job("training"))
        raise httpx.ReadError("reset")

    running = client_of(answer).job("job_1")
    with pytest.raises(Unreachable):
        running.cancel()
    assert tried == ["GET", "POST"]


def test_a_refusal_is_not_sent_again(client_of: ClientOf) -> None:
    tried: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tried.append(request.url.path)
        return problem(502, "upstream")

    with pytest.raises(errors.Upstream):
        client_of(answer).connect("http://ls", "token")
    assert len(tried) == 1


@pytest.mark.parametrize("answer", [httpx.Response(200, text="<html>"), httpx.Response(200, json={"hello": "world"})])
def test_another_server_is_told_from_the_service(client_of: ClientOf, answer: httpx.Response) -> None:
    with pytest.raises(UnexpectedAnswer, match="Not this service"):
        client_of(lambda _: answer).job("job_1")


def test_pages_are_asked_for_when_they_are_needed(client_of: ClientOf) -> None:
    asked: list[dict[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        query = dict(request.url.params)
        asked.append(query)
        start = int(query.get("cursor", 0))
        items = [{**DATASET, "id": f"ds_{number}"} for number in range(start, min(start + int(query["limit"]), 2500))]
        following = str(start + len(items)) if start + len(items) < 2500 else None
        return httpx.Response(200, json={"items": items, "next": following, "total": 2500})

    client = client_of(answer)
    listed = client.datasets()
    assert asked == []
    assert next(iter(listed)).id == "ds_0"
    assert asked == [{"limit": "1000"}]
    assert [one.id for one in listed] == [f"ds_{number}" for number in range(2500)]
    asked.clear()
    assert len(client.datasets(limit=1200).to_list()) == 1200
    assert [query["limit"] for query in asked] == ["1000", "200"]
    assert client.datasets(limit=0).to_list() == []
    assert client.datasets(limit=3).count() == 2500
    with pytest.raises(ValueError, match="limit is -1"):
        client.datasets(limit=-1)


def events(*written: tuple[str, str, object]) -> bytes:
    return "".join(
        f"event: {kind}\n{f'id: {name}' if name else ''}\ndata: {json.dumps(data)}\n\n".replace("\n\ndata", "\ndata")
        for kind, name, data in written
    ).encode()


def streaming(*parts: bytes | Exception) -> httpx.Response:
    class Body(httpx.SyncByteStream):
        def __iter__(self):  # type: ignore[no-untyped-def]
            for part in parts:
                if isinstance(part, Exception):
                    raise part
                yield part

    return httpx.Response(200, stream=Body(), headers={"Content-Type": "text/event-stream"})


def test_a_broken_stream_goes_on_after_its_last_event(client_of: ClientOf) -> None:
    seen: list[str | None] = []
    first = events(("state", "1", {"state": "training"}), ("metrics", "2", {"epoch": 1, "loss": 1.0, "accuracy": 0.5}))
    streams = [
        streaming(first, httpx.ReadError("reset")),
        streaming(b"", httpx.ReadTimeout("quiet")),
        streaming(events(("state", "3", {"state": "completed"}))),
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/events"):
            return httpx.Response(200, json=job("training" if streams else "completed"))
        seen.append(request.headers.get("Last-Event-ID"))
        return streams.pop(0)

    waiting = client_of(answer).job("job_1")
    kinds = [(update.kind, update.data.get("state")) for update in waiting.watch()]
    assert kinds == [("state", "training"), ("metrics", None), ("progress", None), ("state", "completed")]
    assert seen == [None, "2", "2"]


def test_a_job_is_polled_where_no_stream_comes_through(client_of: ClientOf) -> None:
    states = ["queued", "queued", "training", "completed", "completed"]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(200, text="<html>a proxy</html>", headers={"Content-Type": "text/html"})
        return httpx.Response(200, json=job(states.pop(0)))

    assert client_of(answer).job("job_1").wait(progress=False).state == "completed"
    assert states == []


@pytest.mark.parametrize(
    ("ended", "kind", "words"),
    [
        (
            job("failed", error={"code": "diverged", "detail": "lower the learning rate"}),
            JobFailed,
            "lower the learning rate",
        ),
        (job("cancelled"), JobCancelled, "was cancelled"),
    ],
)
def test_waiting_raises_the_reason(
    client_of: ClientOf, ended: dict[str, object], kind: type[ApiError], words: str
) -> None:
    with pytest.raises(kind, match=words) as raised:
        client_of(lambda _: httpx.Response(200, json=ended)).job("job_1").wait()
    if isinstance(raised.value, JobFailed):
        assert (raised.value.job, raised.value.job_code) == ("job_1", "diverged")


def test_waiting_ends_after_its_time(client_of: ClientOf) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return streaming(events(("progress", "", job("training")["progress"])))
        return httpx.Response(200, json=job("training"))

    waiting = client_of(answer).job("job_1")
    with pytest.raises(WaitedTooLong, match="goes on") as raised:
        waiting.wait(timeout=0.05)
    assert isinstance(raised.value, TimeoutError)


def test_a_service_that_is_gone_for_good_ends_the_wait(client_of: ClientOf) -> None:
    tried: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            tried.append(request.url.path)
            return httpx.Response(503, json={"code": "unavailable", "detail": "no database"})
        return httpx.Response(200, json=job("training"))

    with pytest.raises(Unavailable):
        client_of(answer).job("job_1").wait(progress=False)
    assert len(tried) == 6


def test_a_bar_is_drawn_where_it_is_wished_for_alone(client_of: ClientOf, capsys: pytest.CaptureFixture[str]) -> None:
    metrics = ("metrics", "1", {"epoch": 1, "loss": 0.25, "accuracy": 0.5})
    told = events(("progress", "", job("training")["progress"]), metrics, ("state", "2", {"state": "completed"}))
    states = ["training", "completed"] * 3

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return streaming(told)
        return httpx.Response(200, json=job(states.pop(0)))

    client = client_of(answer)
    client.job("job_1").wait()
    client.job("job_1").wait(progress=False)
    assert capsys.readouterr() == ("", "")
    client.job("job_1").wait(progress=True)
    drawn = capsys.readouterr()
    assert drawn.out == ""
    assert "completed 100%" in drawn.err


def test_an_unknown_option_is_an_error_at_once(client_of: ClientOf, tmp_path: Path) -> None:
    client = client_of(lambda _: problem(500, "internal"))
    with pytest.raises(TypeError, match=r"unknown option lable.*label"):
        client.submit(tmp_path, lable="y")  # type: ignore[call-arg]  # that is the point


def test_a_dataset_of_the_service_is_submitted_by_its_id(client_of: ClientOf) -> None:
    bodies: list[object] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(202, json=job("queued") if request.url.path == "/jobs" else DATASET)

    client = client_of(answer)
    client.submit("ds_1", training={"epochs": 1}, spec={"priority": 3})
    client.submit_project("con_1", 7, spec={"from_name": "kind"}, name="ours")
    client.submit("https://data.test/zoo.csv", label="kind")
    assert bodies == [
        {"dataset": "ds_1", "training": {"epochs": 1}, "priority": 3},
        {"connection": "con_1", "project": 7, "from_name": "kind", "name": "ours"},
        {"url": "https://data.test/zoo.csv", "spec": {"label": "kind"}},
        {"dataset": "ds_1"},
    ]


def test_the_asynchronous_client_reads_what_the_other_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/jobs":
            return httpx.Response(200, json={"items": [job()], "next": None, "total": 1})
        return httpx.Response(200, json=job())

    async def read() -> list[str]:
        async with AsyncClient("http://suspects.test") as client:
            client._transport._http = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url=client.url)
            found = await (await client.job("job_1")).wait()
            return [found.id, *[one.id async for one in client.jobs()]]

    assert asyncio.run(read()) == ["job_1", "job_1"]


def test_the_handwritten_job_is_one_of_the_api() -> None:
    assert to_model(models.JobView, job()).extra == {}
