"""The tools of `suspects mcp` against the real service on a socket; only the worker's part is written by hand."""

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from PIL import Image

from service.actions.find import find_dataset
from service.actions.rerun import run_again
from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.terminal.tools import picture
from service.terminal.tools.server import make_server
from service.terminal.tools.verbs import LEFT_OUT, VERBS
from tests.agent import Agent, Refused, connected
from tests.builders import CSV, add_finished, add_job, finish, image_zip
from tests.stand_in import TOKEN, standing_in, text_task
from tests.unit.test_cli_renderings import commands
from usual_suspects.client import Client


@pytest.fixture
def agent(server: str) -> Iterator[Agent]:
    """An agent beside the server in this process."""
    with Client(server) as client, connected(make_server(client)) as opened:
        yield opened


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """URL of a service of these settings."""
    config = uvicorn.Config(
        create_app(settings), host="127.0.0.1", port=0, log_level="error", timeout_graceful_shutdown=1
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join()


@pytest.fixture
def stored(services: Services) -> None:
    """A completed job over a dataset."""
    add_finished(services.database, services.blobs)


def test_every_command_has_a_tool_or_a_reason_why_not() -> None:
    served = {one.command for one in VERBS if one.command}
    assert served | set(LEFT_OUT) == set(commands())
    assert served.isdisjoint(LEFT_OUT)
    assert all(LEFT_OUT.values())


def test_every_tool_says_what_it_is_and_what_it_changes(agent: Agent) -> None:
    assert len(agent.tools) == len(VERBS)
    for name, tool in agent.tools.items():
        assert tool.title, name
        assert (tool.description or "").endswith("."), name
        assert tool.output_schema, name
        assert tool.input_schema["additionalProperties"] is False, name
        assert all("description" in one for one in tool.input_schema["properties"].values()), name
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is not None, name
        assert tool.annotations.read_only_hint or tool.annotations.destructive_hint is not None, name
    assert [name for name, tool in agent.tools.items() if tool.annotations and tool.annotations.destructive_hint] == [
        "delete",
        "push",
    ]


class Recording(Client):
    """A client that notes the methods of its requests."""

    methods: list[str]

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.methods = []
        self._transport._http.event_hooks = {"request": [lambda request: self.methods.append(request.method)]}


ARGUMENTS: dict[str, dict[str, Any]] = {
    "dataset": {"dataset": "ds_1"},
    "images": {"job": "job_1", "samples": ["row-1"]},
    "sample": {"job": "job_1", "sample": "row-1"},
    "skipped": {"dataset": "ds_1"},
}


@pytest.mark.usefixtures("stored")
def test_tools_that_read_only_read_and_answer_by_their_schema(server: str) -> None:
    with Recording(server) as client, connected(make_server(client)) as agent:
        for name, tool in agent.tools.items():
            if not (tool.annotations and tool.annotations.read_only_hint) or name in ("images", "diff"):
                continue
            needed = {one: "job_1" for one in tool.input_schema.get("required", []) if one == "job"}
            agent.call(name, **ARGUMENTS.get(name, needed))  # the SDK's client compares it with the schema
        assert set(client.methods) == {"GET"}


@pytest.mark.usefixtures("stored")
def test_rows_are_those_of_the_api_in_short(agent: Agent, client: httpx.Client) -> None:
    items = client.get("/jobs/job_1/suspects?by=si").json()["items"]
    first = agent.call("suspects", job="job_1", by="si", limit=4, signals=["si"])
    second = agent.call("suspects", job="job_1", by="si", signals=["si"], cursor=first["next"])
    rows = [*first["items"], *second["items"]]
    assert (len(first["items"]), second["next"], first["total"]) == (4, None, len(items))
    assert [
        (row["rank"], row["sample"], row["given_label"], row["suggested_label"], row["verdict"]) for row in rows
    ] == [
        (one["rank"], one["sample"]["id"], one["given_label"], one["suggested_label"], one["verdict"]) for one in items
    ]
    assert [row["score"] for row in rows] == pytest.approx([one["score"] for one in items], rel=1e-5)
    assert [row["values"] for row in rows] == [one["sample"]["preview"] for one in items]
    assert all(set(row["signals"]) == {"si"} for row in rows)
    chosen = agent.call("suspects", job="job_1", label="dog", verdict="mislabeled", min_score=0.1)["items"]
    query = {"label": "dog", "verdict": "mislabeled", "min_score": "0.1"}
    wanted = client.get("/jobs/job_1/suspects", params=query).json()["items"]
    assert [row["sample"] for row in chosen] == [one["sample"]["id"] for one in wanted]


# Parameters of the ranking that a tool has not, and why.
_FILE = {"format", "field", "about", "root", "raw"}  # the form of a file, which `export` writes
_PAGE = {"limit", "cursor", "offset", "ids"}  # parts of a ranking: a file has all that the filters leave
_TOOL_NAMES = {"field", "about", "root", "signals"}  # how a labelling tool, or a column, is called


def test_the_tools_have_every_filter_of_the_ranking(agent: Agent, client: httpx.Client) -> None:
    parameters = client.get("/openapi.json").json()["paths"]["/jobs/{job_id}/suspects"]["get"]["parameters"]
    served = {one["name"] for one in parameters if one["in"] == "query"}
    taken = {name: set(agent.tools[name].input_schema["properties"]) for name in ("suspects", "export")}
    assert taken["suspects"] - {"job"} == served - _FILE
    assert taken["export"] - {"job", "output"} == served - _PAGE - _TOOL_NAMES


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("chosen", "query"),
    [
        ({"min_confidence": 0.5}, {"min_confidence": 0.5}),
        ({"disagrees": True}, {"disagrees": "true"}),
        ({"reviewed": True}, {"reviewed": "true"}),
        ({"decision": "remove"}, {"decision": "remove"}),
        ({"q": "ROW-1"}, {"q": "row-1"}),
        ({"offset": 3}, {"offset": 3}),
        ({"ids": ["row-1", "row-0"]}, {"ids": "row-1,row-0"}),
    ],
)
def test_a_filter_of_a_tool_keeps_what_that_of_the_api_keeps(
    agent: Agent, client: httpx.Client, tmp_path: Path, chosen: dict[str, Any], query: dict[str, Any]
) -> None:
    decisions = [{"sample_id": "row-1", "decision": "remove"}, {"sample_id": "row-4", "decision": "keep"}]
    client.post("/jobs/job_1/reviews", json=decisions).raise_for_status()
    every = client.get("/jobs/job_1/suspects", params={"limit": 1000}).json()["items"]
    wanted = [
        one["sample"]["id"]
        for one in client.get("/jobs/job_1/suspects", params={"limit": 1000, **query}).json()["items"]
    ]
    assert 0 < len(wanted) < len(every)
    assert [row["sample"] for row in agent.call("suspects", job="job_1", limit=1000, **chosen)["items"]] == wanted
    if not {"offset", "ids"} & set(chosen):
        agent.call("export", job="job_1", output=str(tmp_path / "part.jsonl"), format="jsonl", **chosen)
        written = (tmp_path / "part.jsonl").read_text().splitlines()
        assert len(written) == len(wanted)


@pytest.mark.usefixtures("stored")
def test_a_sample_has_its_evidence_in_words(agent: Agent, client: httpx.Client) -> None:
    found = client.get("/jobs/job_1/samples/row-0").json()
    told = agent.call("sample", job="job_1", sample="row-0")
    assert told["reason"] == found["reason"]
    assert told["values"] == found["features"]
    ranks = [one["rank"] for one in told["signals"].values()]
    assert ranks == sorted(one["rank"] for one in found["signals"].values())[: len(ranks)]
    assert [one["sample"] for one in told["opposing"]] == [one["id"] for one in found["opposing"]][:5]


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("suspects", {"job": "job_none"}, ["Not Found: no job job_none"]),
        ("suspects", {"job": "job_1", "label": "wolf"}, ["query.label: no class 'wolf'; one of cat, dog, eel"]),
        ("suspects", {"job": "job_1", "verdicts": "x"}, ["verdicts: ", "known: job, by, label, suggested, verdict"]),
        ("suspects", {"job": "job_1", "limit": 0}, ["limit: ", "greater than or equal to 1"]),
        ("suspects", {}, ["job: "]),
        (
            "review",
            {"job": "job_1", "decisions": [{"sample_id": "row-1", "decision": "relabel"}]},
            ["relabel needs a label"],
        ),
        ("review", {"job": "job_1", "decisions": [{"sample_id": "no", "decision": "keep"}]}, ["no sample 'no'"]),
        ("cancel", {"job": "job_1"}, ["Conflict: ", "completed"]),
        ("sample", {"job": "job_1", "sample": "row-1", "image": True}, ["row-1 is no image"]),
        ("submit", {}, ["give `source`"]),
        ("submit", {"source": "/nowhere/at/all.csv"}, ["/nowhere/at/all.csv: No such file"]),
        ("submit", {"source": "ds_1", "epochs": 2, "options": {"signals": ["sj"]}}, ["sj"]),
        ("push", {"job": "job_1"}, ["Conflict: "]),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_an_error_is_in_the_words_of_the_service(
    agent: Agent, tool: str, arguments: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(Refused) as refused:
        agent.call(tool, **arguments)
    said = str(refused.value)
    assert all(word in said for word in words), said
    assert "Traceback" not in said
    assert len(said.splitlines()) == len(set(said.splitlines()))


def test_a_service_that_is_away_is_said() -> None:
    with Client("http://127.0.0.1:1") as client, connected(make_server(client)) as agent:
        assert len(agent.tools) == len(VERBS)
        with pytest.raises(Refused, match=r"Cannot reach the service: http://127\.0\.0\.1:1"):
            agent.call("jobs")


def test_tools_have_the_rights_of_the_key(settings: Settings) -> None:
    with serving(settings.model_copy(update={"api_keys": ["right-key"]})) as url:
        for key, allowed in (("right-key", True), ("wrong-key", False), (None, False)):
            with Client(url, key) as client, connected(make_server(client)) as agent:
                if allowed:
                    assert agent.call("jobs")["items"] == []
                    continue
                with pytest.raises(Refused, match="Unauthorized: "):
                    agent.call("jobs")


@pytest.mark.usefixtures("stored")
def test_reviews_are_recorded_listed_and_summed_up(agent: Agent, client: httpx.Client) -> None:
    decisions = [
        {"sample_id": "row-0", "decision": "relabel", "label": "dog", "reviewer": "Noor"},
        {"sample_id": "row-1", "decision": "keep"},
    ]
    assert agent.call("review", job="job_1", decisions=decisions) == {"recorded": 2, "reviewed": 2}
    kept = client.get("/jobs/job_1/reviews").json()["items"]
    assert [(one["sample_id"], one["decision"], one["label"], one["reviewer"]) for one in kept] == [
        ("row-0", "relabel", "dog", "Noor"),
        ("row-1", "keep", None, None),
    ]
    assert [one["sample_id"] for one in agent.call("reviews", job="job_1", limit=1)["items"]] == ["row-0"]
    assert agent.call("reviews_summary", job="job_1")["reviewed"] == 2
    row = next(one for one in agent.call("suspects", job="job_1")["items"] if one["sample"] == "row-0")
    assert (row["decision"], row["decided_label"]) == ("relabel", "dog")


@pytest.mark.usefixtures("stored")
def test_a_corrected_dataset_is_made_run_again_and_compared(
    agent: Agent, services: Services, client: httpx.Client
) -> None:
    agent.call("review", job="job_1", decisions=[{"sample_id": "row-0", "decision": "relabel", "label": "dog"}])
    made = agent.call("version", job="job_1")
    assert made["lineage"]["relabelled"] == 1
    assert agent.call("rerun", job="job_1")["next_job"] is None
    later = services.now() + timedelta(hours=1)
    run_again(replace(services, now=lambda: later))
    waited = agent.call("wait", job="job_1", until="next_job", seconds=5)
    following = agent.call("job", job=waited["next_job"])
    assert following["dataset"] == made["id"]
    finish(services.database, following["id"], find_dataset(services, made["id"]), blobs=services.blobs)
    compared = agent.call("diff", job=following["id"])
    assert (compared["before"]["job"], compared["after"]["job"]) == ("job_1", following["id"])
    told = client.get(f"/jobs/{following['id']}/diff").json()
    assert compared["counts"] == {name: told[name]["total"] for name in compared["counts"]}
    assert {name: len(listed) for name, listed in compared["changes"].items()}.items() <= compared["counts"].items()


def test_a_job_is_submitted_waited_for_cancelled_retried_and_deleted(
    agent: Agent, client: httpx.Client, tmp_path: Path
) -> None:
    path = tmp_path / "animals.csv"
    path.write_bytes(CSV)
    job = agent.call(
        "submit", source=str(path), label="animal", epochs=3, name="zoo", options={"training": {"seed": 7}}
    )
    spec = client.get(f"/jobs/{job['id']}").json()["spec"]
    assert (job["name"], spec["training"]["epochs"], spec["training"]["seed"]) == ("zoo", 3, 7)
    begun = time.monotonic()
    assert agent.call("wait", job=job["id"], seconds=0.1)["state"] == "queued"
    assert time.monotonic() - begun < 5
    assert agent.call("cancel", job=job["id"])["state"] == "cancelled"
    assert agent.call("wait", job=job["id"])["state"] == "cancelled"
    assert agent.call("retry", job=job["id"])["state"] == "queued"
    agent.call("cancel", job=job["id"])
    assert agent.call("delete", job=job["id"])["done"] == "deleted"
    assert agent.call("jobs")["total"] == 0


def test_a_dataset_is_uploaded_shown_and_ranked_by_its_id(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "animals.csv"
    path.write_bytes(CSV)
    made = agent.call("upload", source=str(path), label="animal")
    assert agent.call("dataset", dataset=made["id"]) == made
    assert [one["id"] for one in agent.call("datasets")["items"]] == [made["id"]]
    assert agent.call("submit", source=made["id"], epochs=2)["dataset"] == made["id"]
    with pytest.raises(Refused, match="label cannot be changed"):
        agent.call("submit", source=made["id"], label="other")


@pytest.mark.usefixtures("stored")
def test_files_are_written_as_the_service_has_them_and_none_is_overwritten(
    agent: Agent, client: httpx.Client, tmp_path: Path
) -> None:
    path = tmp_path / "flagged.csv"
    written = agent.call("export", job="job_1", output=str(path), verdict="mislabeled")
    answer = client.get("/jobs/job_1/suspects?format=csv&verdict=mislabeled")
    assert (path.read_bytes(), written["bytes"]) == (answer.content, len(answer.content))
    with pytest.raises(Refused, match="no file is overwritten"):
        agent.call("report", job="job_1", output=str(path))
    assert path.read_bytes() == answer.content
    agent.call("report", job="job_1", output=str(tmp_path / "report.md"))
    assert (tmp_path / "report.md").read_text().startswith("#")


def shown(agent: Agent, tool: str, **arguments: Any) -> list[Image.Image]:
    content = agent.result(tool, **arguments).content
    return [Image.open(io.BytesIO(base64.b64decode(one.data))) for one in content if one.type == "image"]


@pytest.fixture
def pictures(services: Services, client: httpx.Client) -> list[str]:
    """Samples of a completed job over images, whose paths need quoting."""
    names = [f"{('cat', 'dog', 'eel')[number % 3]}/a b#{number}.png" for number in range(12)]
    answer = client.post("/datasets", files={"file": ("animals.zip", image_zip(names))})
    info = find_dataset(services, answer.json()["id"])
    add_job(services.database, info)
    finish(services.database, "job_1", info, blobs=services.blobs)
    return names


def test_images_are_content_that_a_model_can_see(agent: Agent, pictures: list[str]) -> None:
    assert shown(agent, "sample", job="job_1", sample=pictures[3]) == []
    (one,) = shown(agent, "sample", job="job_1", sample=pictures[3], image=True)
    assert one.size == (256, 256)
    assert one.getpixel((0, 0)) == (60, 0, 0)
    several = shown(agent, "images", job="job_1", samples=[pictures[5], pictures[2]])
    assert [found.getpixel((9, 9)) for found in several] == [(100, 0, 0), (40, 0, 0)]


@pytest.mark.parametrize(
    ("size", "seen"),
    [((4000, 2000), (1024, 512)), ((300, 200), (300, 200)), ((28, 28), (280, 280)), ((1, 3), (86, 258))],
)
def test_an_image_keeps_its_shape_at_a_size_that_can_be_seen(size: tuple[int, int], seen: tuple[int, int]) -> None:
    assert picture._sized(Image.new("RGB", size)).size == seen


def test_a_connected_project_is_submitted(settings: Settings) -> None:
    changed = settings.model_copy(update={"allow_private_connections": True})
    with standing_in() as tool, serving(changed) as url, httpx.Client(base_url=url, timeout=60) as client:
        tool.tasks = [text_task(number, "cat" if number % 2 else "dog") for number in range(1, 25)]
        made = client.post("/connections", json={"kind": "label_studio", "url": tool.url, "token": TOKEN}).json()
        with Client(url) as ours, connected(make_server(ours)) as agent:
            assert [one["id"] for one in agent.call("connections")["items"]] == [made["id"]]
            assert TOKEN not in json.dumps(agent.call("connections"))
            job = agent.call("submit", connection=made["id"], project=7, name="texts")
            assert client.get(f"/jobs/{job['id']}").json()["spec"]["source"]["project"] == 7
            for name in ("push", "reconcile"):
                with pytest.raises(Refused, match="Conflict"):
                    agent.call(name, job=job["id"])
