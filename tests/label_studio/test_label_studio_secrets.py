"""Whatever the real Label Studio and its users send us, no secret of it is in a log, a record or an error."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.label_studio.ours import Installation
from tests.label_studio.tool import PASSWORD, Tool, labelled

pytestmark = pytest.mark.label_studio

# The config is in every /setup body, in every event and in the project itself; its comment is nowhere else.
CONFIG = """<View><!-- only-in-bodies --><Text name="text" value="$text"/>
<Choices name="label" toName="text"><Choice value="cat"/><Choice value="dog"/></Choices></View>"""
WRONG = "9" * 40


def played(tool: Tool, ours: Installation) -> tuple[int, str, list[httpx.Response]]:
    """Everything that a secret goes through: the project, our secret path, and what was answered on the way."""
    project = tool.project("secrets", CONFIG)
    tasks = tool.add(
        project, [labelled(f"the {'cat' if n % 2 else 'dog'} of {n}", "cat" if n % 2 else "dog") for n in range(40)]
    )
    connection, legacy = ours.connect(tool, tool.personal_token), ours.connect(tool)
    job = ours.rank(connection, project)
    secret = ours.backend(connection)
    push = f"/jobs/{job['id']}/push"
    answers = [ours.client.post(push, json={"mode": "requeue", "limit": 3}), ours.client.post(f"{push}/undo")]
    tool.ask("POST", "/api/ml", json={"url": secret, "project": project, "title": "us", "is_interactive": True})
    tool.ask("GET", "/api/ml", params={"project": project})
    tool.ask("POST", "/api/dm/actions", params={"id": "retrieve_tasks_predictions", "project": project},
             json={"selectedItems": {"all": False, "included": tasks[:5]}})  # fmt: skip
    tool.annotate(tasks[0], "cat")
    ours.until(lambda: ours.get(f"/jobs/{job['id']}/reviews")["items"], bool)
    path = secret.removeprefix(ours.url)
    setup = {"project": f"{project}.1", "schema": CONFIG, "access_token": tool.token, "hostname": tool.url}
    body = {"kind": "label_studio", "url": tool.url, "token": WRONG}
    answers += [
        ours.client.post(f"{path}/setup", json=setup),
        ours.client.post(f"{path}/setup", json={**setup, "project": CONFIG}),
        ours.client.post(f"{path}/setup", content=str(setup).encode(), headers={"Content-Type": "application/json"}),
        ours.client.post(f"{path}x/setup", json=setup),
        ours.client.post(f"{path}/predict", json={**setup, "label_config": CONFIG[:-9], "tasks": [{}]}),
        ours.client.post("/connections", json=body),
        ours.client.put(f"/connections/{legacy}/token", json={"token": WRONG}),
        ours.client.post("/connections", json={**body, "token": f"Token {WRONG}"}),
    ]
    with tool.without_legacy_tokens():
        answers.append(ours.client.post("/jobs", json={"connection": legacy, "project": project}))
        job_id = ours.post("/jobs", {"connection": connection, "project": project})["id"]
        ours.until(lambda: ours.get(f"/jobs/{job_id}")["dataset"]["rows"], bool)
    answers += [ours.client.get(f"/connections/{one}") for one in (connection, legacy)]
    answers += [ours.client.get(f"/jobs/{one}{more}") for one in (job["id"], job_id) for more in ("", "/events")]
    answers += [ours.client.get(path) for path in ("/connections", "/jobs", "/datasets", "/deliveries", "/metrics")]
    return project, secret, answers


def records(ours: Installation) -> Iterator[tuple[str, str]]:
    """Every row of every table, and every file but the datasets themselves."""
    with sqlite3.connect(ours.settings.home / "suspects.db") as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            yield table, str(database.execute(f"SELECT * FROM {table}").fetchall())
    for path in ours.settings.home.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".jsonl", ".part", ".question", ".answer"):
            yield str(path), path.read_bytes().decode(errors="replace")


def test_no_secret_is_logged_kept_or_told(tool: Tool, installation: Installation) -> None:
    project, address, answers = played(tool, installation)
    told: dict[str, Any] = tool.ask("GET", f"/api/projects/{project}/")
    secrets = {
        "legacy token": tool.token,
        "personal token": tool.personal_token,
        "its body": tool.personal_token.split(".")[1],
        "its signature": tool.personal_token.split(".")[2],
        "wrong token": WRONG,
        "password": PASSWORD,
        "path secret": address.rpartition(".")[2],
        "project token": told["token"] if told.get("token") else "only-in-bodies",
        "setup body": "only-in-bodies",
        "setup field": "access_token",
    }
    said = {"service": installation.log.read_text(), "worker": installation.worker_log.read_text()}
    assert '"event": "reconciled"' in said["service"]
    assert "/ls/con_" in said["service"]
    places = {**said, **dict(records(installation))}
    places |= {f"answer of {one.request.method} {one.request.url.path.partition('.')[0]}": one.text for one in answers}
    assert [
        one.status_code for one in answers if one.is_server_error and one.status_code != httpx.codes.BAD_GATEWAY
    ] == []
    found = [(name, place) for place, text in places.items() for name, secret in secrets.items() if secret in text]
    assert found == []
