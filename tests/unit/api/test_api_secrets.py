"""Whatever a secret goes through, it is in no log, no answer, no record and no file as it is."""

import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI
from PIL import Image

from service.background.pulls import pull_due
from service.background.reconcile import reconcile_due
from service.background.webhooks import deliver_due
from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.store import datasets, pulls, webhooks
from service.store.tables import metadata
from tests.builders import finish, ranking_of
from tests.stand_in import PERSONAL, TEXT_CONFIG, TOKEN, StandIn, standing_in, text_task

KEY = "key-of-this-test"
QUERY = "token=hush-in-the-query"
SIGNED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WRONG = "9" * 40
ONLY_IN_SETUP = "hush-in-setup"


@pytest.fixture
def tool() -> Iterator[StandIn]:
    with standing_in() as running:
        running.config = TEXT_CONFIG.replace("<View>", f"<View><!-- {ONLY_IN_SETUP} -->").replace("<Text", "<Image")
        running.config = running.config.replace("$text", "$picture")
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, "PNG")
        for number in range(1, 25):
            task = text_task(number, "cat" if number % 2 else "dog", data={"picture": f"/data/{number}.png"})
            running.tasks.append(task)
            running.files[f"/data/{number}.png"] = buffer.getvalue()
        yield running


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    changes = {
        "api_keys": frozenset({KEY}),
        "allow_private_connections": True,
        "allow_private_webhooks": True,
        "allow_private_urls": True,
        "public_url": "http://127.0.0.1:9",
    }
    return create_app(settings.model_copy(update=changes))


@pytest.fixture
def server(app: FastAPI) -> Iterator[str]:
    """As somebody runs it who has not read that uvicorn's own log of requests is to be switched off."""
    running = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="info", access_log=True))
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
    running.should_exit = True
    thread.join()


class Story:
    """Everything that a secret goes through; keeps every answer."""

    def __init__(self, client: httpx.Client, services: Services, tool: StandIn) -> None:
        self.client, self.services, self.tool = client, services, tool
        self.answers: list[httpx.Response] = []
        client.headers["Authorization"] = f"Bearer {KEY}"

    def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self.client.request(method, path, **options)
        self.answers.append(answer)
        return answer.json() if answer.content else None

    def connect(self, token: str) -> str:
        body = {"kind": "label_studio", "url": self.tool.url, "token": token}
        return str(self.ask("POST", "/connections", json=body).get("id"))

    def connections(self) -> str:
        legacy, personal = self.connect(TOKEN), self.connect(PERSONAL)
        self.connect(WRONG)
        self.connect(f"Token {WRONG}")
        self.ask("PUT", f"/connections/{legacy}/token", json={"token": WRONG})
        self.ask("POST", "/jobs", json={"dataset": "ds_0"}, headers={"Authorization": f"Bearer {WRONG}"})
        return personal

    def job(self, connection: str) -> str:
        hook = {"url": f"http://127.0.0.1:9/hook?{QUERY}", "secret": SIGNED}
        body = {"connection": connection, "project": 7, "webhook": hook}
        job_id = str(self.ask("POST", "/jobs", json=body)["id"])
        self.ask("POST", "/jobs", json={**body, "webhook": {**hook, "secret": SIGNED[:-9]}})
        self.ask("POST", "/jobs", json={**body, "webhook": {**hook, "url": f"http://[{QUERY}"}})
        services = self.services
        pull_due(services)
        with services.database.read() as connection_:
            info = datasets.get(connection_, self.ask("GET", f"/jobs/{job_id}")["dataset"]["id"])
        assert info is not None
        finish(services.database, job_id, info, table=ranking_of(services.blobs, info))
        deliver_due(services)
        return job_id

    def work(self, connection: str, job_id: str) -> str:
        """As its labelling tool works with it, and as the tool refuses; gives the secret path."""
        path = str(self.ask("POST", f"/connections/{connection}/backend")["path"])
        setup = {"project": "7.1", "schema": self.tool.config, "access_token": TOKEN, "hostname": self.tool.url}
        for call, body in (
            ("setup", setup),
            ("setup", {**setup, "project": ONLY_IN_SETUP}),
            ("predict", {**setup, "label_config": self.tool.config, "tasks": self.tool.tasks[:2]}),
            ("predict", {**setup, "label_config": self.tool.config[:-9], "tasks": [{}]}),
            ("webhook", {"action": "ANNOTATION_UPDATED", "project": {"id": 7, "token": "project-token"}}),
            ("nothing", setup),
            ("setup/more", setup),
        ):
            self.ask("POST", f"{path}/{call}", json=body)
        self.ask("POST", f"{path}/setup", content=str(setup).encode(), headers={"Content-Type": "application/json"})
        self.ask("GET", f"{path}/health")
        self.ask("DELETE", f"{path}/health")
        self.ask("GET", f"{path}x/health")
        assert "127.0.0.1:9/ls/" in self.ask("POST", f"/jobs/{job_id}/push", json={"mode": "tab"})["events"]
        self.ask("POST", f"/jobs/{job_id}/reconcile")
        self.ask("POST", "/datasets", json={"connection": connection, "project": 7})
        self.ask("POST", "/datasets", json={"url": f"{self.tool.url}/nothing.csv?{QUERY}"})
        self.ask("POST", "/datasets", json={"url": f"http://127.0.0.1:9/x.csv?{QUERY}"})
        return path

    def refuse(self, job_id: str) -> None:
        """The tool tells in its refusals what it was sent, whole and where we cut it."""
        for self.tool.echo in (0, 270):
            for token in (TOKEN, PERSONAL):
                self.connect(token)
            for connection in self.ask("GET", "/connections")["items"]:
                self.ask("POST", "/jobs", json={"connection": connection["id"], "project": 7})
            self.ask("POST", f"/jobs/{job_id}/reconcile")
            with self.services.database.write() as opened:
                pulls.request_overdue(opened, timedelta(0), self.services.now() - timedelta(minutes=1))
            reconcile_due(self.services)
        self.tool.echo = None


def records(services: Services) -> Iterator[tuple[str, str]]:
    """Every row of every table; the URLs of webhooks are kept as they are, as the README says."""
    with services.database.read() as opened:
        for table in metadata.sorted_tables:
            kept = [column for column in table.columns if (table.name, column.name) != ("webhooks", "url")]
            yield table.name, str(opened.execute(sa.select(*kept)).all())
    for path in services.settings.home.rglob("*"):
        if path.is_file() and path.name != "secret.key" and not path.name.startswith("suspects.db"):
            yield str(path), path.read_bytes().decode(errors="replace")


def test_no_secret_is_logged_told_or_kept_as_it_is(
    client: httpx.Client,
    services: Services,
    tool: StandIn,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    story = Story(client, services, tool)
    personal = story.connections()
    job_id = story.job(personal)
    path = story.work(personal, job_id)
    story.refuse(job_id)
    for shown in ("/connections", "/jobs", "/datasets", "/deliveries", "/metrics", f"/jobs/{job_id}"):
        answer = client.get(shown)
        assert answer.is_success
        story.answers.append(answer)
    said = "\n".join((*capfd.readouterr(), caplog.text))
    secrets = {
        "key": KEY,
        "legacy token": TOKEN[:15],
        "wrong token": WRONG,
        "personal token": PERSONAL.split(".")[1],
        "path secret": path.rpartition(".")[2],
        "query": QUERY,
        "webhook secret": SIGNED.removeprefix("whsec_"),
        "setup": ONLY_IN_SETUP,
        "project token": "project-token",
        **{f"access token {place}": token.split(".")[1] for place, token in enumerate(tool.access)},
    }
    assert len(tool.access) > 1
    # uvicorn's line and ours of the same request.
    assert '"POST /ls/con_' in said
    assert '"path": "/ls/con_' in said
    assert "webhook not delivered" in said
    assert "not reconciled" in said
    assert [one.status_code for one in story.answers if one.status_code == 500] == []
    places = {"logs": said, **dict(records(services))}
    for number, one in enumerate(story.answers):
        what = f"answer {number}, {one.request.method} {one.request.url.path.partition('.')[0]}"
        places[what] = one.text if one.request.url.path != f"/connections/{personal}/backend" else ""
    found = [(name, place) for place, text in places.items() for name, secret in secrets.items() if secret in text]
    assert found == []


def test_errors_of_the_database_do_not_tell_what_was_written(
    database_url: str, services: Services, database: Any
) -> None:
    with pytest.raises(sa.exc.DBAPIError) as caught, database.write() as connection:
        webhooks.add(connection, "job_0", f"https://example.org/?{QUERY}", "hush")
    assert QUERY not in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("entry", ["service.main", "worker.app"])
def test_a_traceback_tells_no_value_of_a_variable(entry: str, tmp_path: Path) -> None:
    program = f"""
import {entry}, structlog
from service.settings import Settings
if "{entry}" == "service.main":
    service.main.create_app(Settings())
def fail(settings, token):
    raise ValueError("as it must")
try:
    fail(Settings(), "hush-in-a-variable")
except ValueError:
    structlog.get_logger().exception("failed")
"""
    environment = {
        **os.environ,
        "SUSPECTS_HOME": str(tmp_path),
        "SUSPECTS_DATABASE_URL": "postgresql+psycopg://suspects:hush-of-the-database@127.0.0.1:1/x",
        "SUSPECTS_BROKER_URL": "redis://:hush-of-the-broker@127.0.0.1:1/0",
        "SUSPECTS_API_KEYS": "hush-key",
    }
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert "as it must" in told.stderr
    assert "fail(Settings()" in told.stderr or "in fail" in told.stderr
    assert "hush-" not in told.stdout + told.stderr.replace('"hush-in-a-variable")', "")


def test_settings_that_are_refused_or_shown_tell_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUSPECTS_SECRET_KEYS", "hush-in-the-environment")
    with pytest.raises(ValueError, match="32 random bytes") as caught:
        Settings()
    assert "hush" not in str(caught.value)
    monkeypatch.delenv("SUSPECTS_SECRET_KEYS")
    shown = repr(Settings(api_keys=("hush",), database_url="postgresql://hush", broker_url="redis://hush"))
    assert "hush" not in shown
