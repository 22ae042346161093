"""The served description says what the contract promises, and every status that it names really occurs."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from pydantic import BaseModel, SecretStr

from service.actions.keys import create_key
from service.api.http.examples import EXAMPLES
from service.api.schemas.jobs import JobView
from service.api.schemas.samples import SuspectPage
from service.domain.access import Caller, KeyRequest
from service.domain.connection import Connection, ConnectionCheck, PullSource
from service.domain.dataset import DatasetInfo
from service.ingest.confined import IngestProcesses
from service.outbound.secrets import Vault
from service.services import Services
from service.settings import Settings
from service.store import connections, keys, networks, pulls, webhooks
from service.store.connections import EncryptedConnection
from service.store.engine import open_database
from service.store.tables import reviews
from tests.builders import CSV, add_dataset, add_finished, add_job, finish, form, image_zip, sign_in
from tests.described import described
from tests.stand_in import TEXT_CONFIG, TOKEN, StandIn, standing_in, text_task

# What the contract's page promises.
PROMISED = {
    ("post", "/datasets"),
    ("get", "/datasets"),
    ("post", "/datasets/sample"),
    ("get", "/datasets/{dataset_id}"),
    ("delete", "/datasets/{dataset_id}"),
    ("get", "/datasets/{dataset_id}/skipped"),
    ("get", "/datasets/{dataset_id}/samples"),
    ("get", "/datasets/{dataset_id}/profile"),
    ("get", "/datasets/{dataset_id}/samples/{sample_id}"),
    ("get", "/datasets/{dataset_id}/samples/{sample_id}/media"),
    ("post", "/networks"),
    ("get", "/networks"),
    ("get", "/networks/{network_id}"),
    ("delete", "/networks/{network_id}"),
    ("get", "/jobs/{job_id}/model"),
    ("post", "/jobs"),
    ("post", "/jobs/estimate"),
    ("get", "/jobs"),
    ("get", "/jobs/{job_id}"),
    ("delete", "/jobs/{job_id}"),
    ("get", "/jobs/{job_id}/events"),
    ("post", "/jobs/{job_id}/cancel"),
    ("post", "/jobs/{job_id}/retry"),
    ("get", "/jobs/{job_id}/suspects"),
    ("get", "/jobs/{job_id}/samples/{sample_id}"),
    ("get", "/jobs/{job_id}/signals"),
    ("get", "/jobs/{job_id}/report"),
    ("get", "/jobs/{job_id}/groups"),
    ("get", "/jobs/{job_id}/verify-next"),
    ("post", "/jobs/{job_id}/reviews"),
    ("get", "/jobs/{job_id}/reviews"),
    ("get", "/jobs/{job_id}/reviews/summary"),
    ("post", "/jobs/{job_id}/reviews/bulk"),
    ("post", "/jobs/{job_id}/reviews/undo"),
    ("post", "/jobs/{job_id}/audit/draws"),
    ("get", "/jobs/{job_id}/audit"),
    ("get", "/jobs/{job_id}/audit/certificate"),
    ("get", "/jobs/{job_id}/reviews/events"),
    ("get", "/events"),
    ("get", "/jobs/{job_id}/confusion"),
    ("get", "/jobs/{job_id}/map"),
    ("get", "/jobs/{job_id}/cut-offs"),
    ("get", "/jobs/{job_id}/classes"),
    ("get", "/jobs/{job_id}/planted-errors"),
    ("post", "/datasets/{dataset_id}/versions"),
    ("get", "/datasets/{dataset_id}/versions"),
    ("get", "/datasets/{dataset_id}/download"),
    ("get", "/datasets/{dataset_id}/verified"),
    ("get", "/jobs/{job_id}/diff"),
    ("post", "/jobs/{job_id}/rerun"),
    ("post", "/jobs/{job_id}/rescore"),
    ("post", "/jobs/{job_id}/proxies"),
    ("get", "/jobs/{job_id}/lineage"),
    ("post", "/connections"),
    ("get", "/connections"),
    ("get", "/connections/{connection_id}"),
    ("delete", "/connections/{connection_id}"),
    ("put", "/connections/{connection_id}/token"),
    ("post", "/connections/{connection_id}/backend"),
    ("post", "/jobs/{job_id}/push"),
    ("post", "/jobs/{job_id}/push/undo"),
    ("post", "/jobs/{job_id}/reconcile"),
    ("get", "/ls/{secret}/health"),
    ("post", "/ls/{secret}/setup"),
    ("get", "/ls/{secret}/versions"),
    ("post", "/ls/{secret}/predict"),
    ("post", "/ls/{secret}/webhook"),
    ("get", "/deliveries"),
    ("get", "/deliveries/{delivery_id}"),
    ("post", "/deliveries/{delivery_id}/retry"),
    ("post", "/keys"),
    ("get", "/keys"),
    ("get", "/keys/{key_id}"),
    ("delete", "/keys/{key_id}"),
    ("post", "/keys/{key_id}/rotate"),
    ("get", "/audit-log"),
    ("get", "/session"),
    ("post", "/sign-out"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/models"),
    ("get", "/signals"),
}
# Fields of the contract's examples, by the schema that answers them.
FIELDS = {
    "DatasetInfo": "id name modality rows classes class_counts features splits digest skipped_rows warnings created_at",
    "JobView": "id name state progress spec dataset attempts created_at started_at finished_at error result links",
    "Progress": "fraction phase detail eta_seconds",
    "JobResult": "samples model estimates timings signals warnings",
    "JobEstimate": "spec seconds basis",
    "JobLinks": "self suspects events report",
    "JobSpec": "dataset reference model training influence signals glitches name priority",
    "Training": "epochs batch_size learning_rate optimizer seed checkpoints",
    "SuspectPage": "items by flagged next total",
    "Suspect": "rank sample given_label suggested_label suggested_confidence score verdict review signals",
    "SampleCard": "id index preview links",
    "SignalView": "name title high source histogram quantiles cost correlations detection detection_by_kind",
    "GroupView": "label size separation gap sample_ids previews",
    "Problem": "type title status detail errors",
}
DESCRIBED = described()
OPERATIONS = [
    (method, path, operation) for path, methods in DESCRIBED["paths"].items() for method, operation in methods.items()
]


def state(rows: int) -> bytes:
    """Weights as safetensors."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [rows], "data_offsets": [0, 4 * rows]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * rows)


def refs(node: Any) -> Iterator[str]:
    """Every reference in a description."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from refs(one)


def test_every_promised_path_is_described_and_no_other() -> None:
    assert {(method, path) for method, path, _ in OPERATIONS} == PROMISED


@pytest.mark.parametrize(("schema", "fields"), FIELDS.items())
def test_the_contracts_fields_are_there(schema: str, fields: str) -> None:
    assert set(fields.split()) <= set(DESCRIBED["components"]["schemas"][schema]["properties"])


def test_every_operation_says_what_it_is() -> None:
    tags = {tag["name"] for tag in DESCRIBED["tags"]}
    for method, path, operation in OPERATIONS:
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert set(operation["tags"]) <= tags, (method, path)
        for status, response in operation["responses"].items():
            assert response["description"], (method, path, status)
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], (method, path, status)
            elif status != "204":
                assert response["content"], (method, path, status)


def test_every_operation_that_reads_json_says_what_a_body_that_it_cannot_read_is_answered() -> None:
    reading = {
        f"{method} {path}": set(operation["responses"])
        for path, operations in DESCRIBED["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }
    assert {name: found for name, found in reading.items() if not {"400", "413", "415", "422"} <= found} == {}


def test_every_reference_leads_somewhere() -> None:
    schemas = DESCRIBED["components"]["schemas"]
    assert {ref.removeprefix("#/components/schemas/") for ref in refs(DESCRIBED)} <= set(schemas)
    assert "HTTPValidationError" not in schemas


def test_both_kinds_of_body_are_described_with_examples_that_work(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    for path, status in (("/datasets", 201), ("/jobs", 202)):
        content = DESCRIBED["paths"][path]["post"]["requestBody"]["content"]
        assert set(content) == {"application/json", "multipart/form-data"}
        example = content["multipart/form-data"]["example"]
        sent = form((example["file"] * 30).encode(), spec=example["spec"])
        assert client.post(path, **sent).status_code == status
        for shown in content["application/json"]["examples"].values():
            if path == "/jobs" and "connection" not in shown["value"]:
                sent = {"json": {**shown["value"], "dataset": info.id}}
                assert client.post(path, **sent).status_code == status


@pytest.mark.parametrize("model", [DatasetInfo, JobView, SuspectPage])
def test_examples_of_answers_are_answers(model: type[BaseModel]) -> None:
    (example,) = DESCRIBED["components"]["schemas"][model.__name__]["examples"]
    columns = [{**one, "column": "f0"} for one in EXAMPLES["DatasetInfo"]["features"]]
    filled = json.loads(
        json.dumps(example).replace(json.dumps(EXAMPLES["DatasetInfo"]["features"]), json.dumps(columns))
    )
    assert json.loads(model.model_validate(filled).model_dump_json()) == example


def test_the_served_description_is_this_one(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json() == json.loads(json.dumps(DESCRIBED))
    assert 'data-description="/openapi.json"' in client.get("/docs").text


# ---- every documented status, brought about


@pytest.fixture
def settings(settings: Settings, empty_postgres: str) -> Settings:
    """On PostgreSQL, which forgives less; the other tests of the API run on SQLite."""
    return settings.model_copy(update={"database_url": empty_postgres, "allow_private_connections": True})


@pytest.fixture
def tool() -> Iterator[StandIn]:
    """A labelling tool that is not the real one."""
    with standing_in() as running:
        running.tasks = [text_task(number, "cat" if number % 2 else "dog") for number in range(1, 9)]
        yield running


class Scene:
    """A service with something of everything: ds_1 with the completed job_1, job_2 queued, job_3 cancelled.

    And the connections con_1, whence job_1 came, and con_2 over which a job is still pulling.
    """

    def __init__(self, client: httpx.Client, services: Services, tool: StandIn) -> None:
        self.client, self.services, self.tool = client, services, tool
        self.tokens: dict[str, str] = {}
        self.info = add_finished(services.database, services.blobs)
        for job_id in ("job_2", "job_3"):
            add_job(services.database, self.info, job_id)
        client.post("/jobs/job_3/cancel")
        client.post("/jobs/job_1/reviews", json=[{"sample_id": "row-1", "decision": "remove"}])
        with services.database.write() as connection:
            connection.execute(reviews.update().values(batch="batch_1"))
        add_job(services.database, self.info, "job_5")
        finish(services.database, "job_5", self.info)
        images = form(image_zip(["a/1.png", "b/1.png"]), "images.zip", {"id": "file_name"})
        self.made = {"images": client.post("/datasets", **images).json()["id"], **self.deliveries()}
        self.networks()
        for name in ("con_1", "con_2"):
            self.connection(name, tool.url)
        with services.database.write() as connection:
            pulls.add(connection, "job_1", PullSource(connection="con_1", project=7))
            origin = services.blobs.origin("job_1")
            origin.parent.mkdir(parents=True, exist_ok=True)
            origin.touch()
            pulls.save_push(connection, "job_1", {"requeued": {"900": []}}, None, services.now())
        sent = client.post("/jobs", json={"connection": "con_2", "project": 7})
        assert sent.status_code == 202, sent.text

    def networks(self) -> None:
        """Weights that job_2 begins with, weights that nobody needs, and those that job_1 has trained."""
        for name, rows in (("used", 1), ("free", 2)):
            sent = form(state(rows), f"{name}.safetensors")
            self.made[name] = self.client.post("/networks", **sent).json()["id"]
        with self.services.database.write() as connection:
            networks.link_job(connection, "job_2", self.made["used"])
        self.services.blobs.model("job_1").parent.mkdir(parents=True, exist_ok=True)
        self.services.blobs.model("job_1").write_bytes(state(1))

    def connection(self, name: str, url: str) -> None:
        """A connection to the stand-in."""
        shown = Connection(
            id=name,
            kind="label_studio",
            name=name,
            url=url,
            token_kind="legacy",
            seen=ConnectionCheck(user="somebody", version=None, projects=1),
            tested_at=self.services.now(),
            created_at=self.services.now(),
        )
        with self.services.database.write() as connection:
            connections.add(
                connection,
                EncryptedConnection(shown, self.services.vault.seal(TOKEN), self.services.vault.seal("secret")),
            )

    def deliveries(self) -> dict[str, str]:
        """A message that was given up, and one that waits, by what they are called here."""
        with self.services.database.write() as connection:
            for job_id, name in (("job_2", "dead"), ("job_5", "pending")):
                webhooks.add(connection, job_id, "https://example.org/", "whsec_x")
                webhooks.add_delivery(connection, job_id, name, None, self.services.now())
            found = {one.event.removeprefix("job."): one for one in webhooks.page(connection, None, None, None, 2)[0]}
            webhooks.record_failure(connection, found["dead"], 410, "answered 410", None, self.services.now())
        return {name: one.id for name, one in found.items()}

    def keys(self) -> None:
        """Ask for keys from now on."""
        self.change("settings", self.services.settings.model_copy(update={"api_keys": frozenset({"key"})}))

    def made_keys(self) -> None:
        """Three keys: of an admin, of somebody who may read, and one that has expired."""
        if self.tokens:
            return
        for name, scopes in (("admin", ["admin"]), ("reader", ["read"]), ("expired", ["read"])):
            created = create_key(self.services, Caller(), KeyRequest.model_validate({"name": name, "scopes": scopes}))
            self.made[f"{name} key"], self.tokens[name] = created.id, created.key
        with self.services.database.write() as connection:
            keys.expire(connection, self.made["expired key"], self.services.now())

    def full_queue(self) -> None:
        """Let no job and no upload wait from now on."""
        self.change("ingests", IngestProcesses(most=1, waiting=-1))
        self.change("settings", self.services.settings.model_copy(update={"max_waiting_jobs": 1}))

    def small(self) -> None:
        """Take only tiny files from now on."""
        self.change("settings", self.services.settings.model_copy(update={"max_upload_bytes": 10}))

    def no_database(self) -> None:
        """Take the database away."""
        self.change("database", open_database("postgresql+psycopg://127.0.0.1:1/nothing"))

    def worker(self) -> None:
        """Let a worker sign in."""
        sign_in(self.services.database)

    def verified(self) -> None:
        """Let people verify samples of a job whose checkpoints are there."""
        self.change("settings", self.services.settings.model_copy(update={"keep_checkpoints_days": 0}))
        add_finished(self.services.database, self.services.blobs, "job_9", "ds_9", rows=20)
        (self.services.blobs.checkpoints("job_9") / "00001.pt").touch()
        said = [{"sample_id": f"row-{row}", "decision": "keep"} for row in range(12)]
        assert self.client.post("/jobs/job_9/reviews", json=said).status_code == 201

    def broken_tool(self) -> None:
        """Let the next request to the labelling tool fail."""
        self.tool.answers.append(500)

    def another_key(self) -> None:
        """Exchange the key that secrets are encrypted with."""
        key = SecretStr(Fernet.generate_key().decode())
        self.change("vault", Vault(self.services.settings.model_copy(update={"secret_keys": key})))

    def full_disk(self) -> None:
        """Let the next upload, or the next version, land on a device that is always full."""
        (self.services.blobs.uploads / "chosen.part").symlink_to("/dev/full")
        self.services.blobs.dataset("ds_full").mkdir(parents=True)
        self.services.blobs.canonical("ds_full").symlink_to("/dev/full")

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Put every part of the service back afterwards."""
        before = dict(vars(self.services))
        yield
        for name, value in before.items():
            self.change(name, value)

    def change(self, name: str, value: object) -> None:
        """Exchange a part of the running service."""
        object.__setattr__(self.services, name, value)


Prepare = Callable[[Scene], None]
Sent = dict[str, Any]
JOB, QUEUED, CANCELLED, NONE = ({"job_id": f"job_{number}"} for number in (1, 2, 3, 4))
DEAD, PENDING, NO_DELIVERY = ({"delivery_id": name} for name in ("dead", "pending", "wh_0"))
CONNECTION, NO_CONNECTION = {"connection_id": "con_1"}, {"connection_id": "con_0"}
TOOL, NO_TOOL = {"secret": "con_1.secret"}, {"secret": "con_1.wrong"}
EVENT = {"action": "ANNOTATION_UPDATED", "project": {"id": 7}}
SETUP = {"project": "7.1795433057", "schema": TEXT_CONFIG, "access_token": "0" * 40}
QUESTION = {**SETUP, "label_config": TEXT_CONFIG, "tasks": [{"id": 1, "data": {"text": "words"}}]}
DATASET, NO_DATASET = {"dataset_id": "ds_1"}, {"dataset_id": "ds_0"}
OPINIONS = {"name": "second annotator", "labels": {"row-1": "cat"}}
BROKEN: Sent = {"content": b"{", "headers": {"Content-Type": "application/json"}}


def _unread(body: dict[str, Any]) -> dict[int, tuple[dict[str, str], Sent]]:
    """Bodies that the labelling tool's routes refuse."""
    return {
        400: (TOOL, BROKEN),
        404: (NO_TOOL, {"json": body}),
        413: (TOOL, {"json": ["x" * 2**24]}),
        415: (TOOL, {"content": b"x"}),
        422: (TOOL, {"json": {}}),
    }


ADMIN, READER, EXPIRED, NO_KEY = ({"key_id": name} for name in ("admin key", "reader key", "expired key", "key_0"))
USED, FREE, NO_NETWORK = ({"network_id": name} for name in ("used", "free", "net_0"))
ENDED = {200: JOB, 404: NONE, 409: QUEUED, 410: CANCELLED}
# By operation and status: path parameters, and what is sent.
SENT: dict[tuple[str, str], dict[int, tuple[dict[str, str], Sent]]] = {
    ("post", "/datasets"): {
        201: ({}, form(spec={"label": "animal"})),
        400: ({}, BROKEN),
        404: ({}, {"json": {"connection": "con_0", "project": 7}}),
        409: ({}, {"json": {"connection": "con_1", "project": 7}}),
        413: ({}, form(spec={"label": "animal"})),
        415: ({}, {"content": b"x"}),
        422: ({}, form(spec={"label": "nothing"})),
        429: ({}, form(spec={"label": "animal", "exclude": ["colour"]})),
        502: ({}, {"json": {"connection": "con_1", "project": 7}}),
        507: ({}, form(spec={"label": "animal"})),
    },
    ("post", "/networks"): {
        201: ({}, form(state(3))),
        400: ({}, {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}),
        413: ({}, form(state(3))),
        415: ({}, form(b"x")),
        422: ({}, form(state(3), spec={"name": 1})),
        507: ({}, form(state(3))),
    },
    ("get", "/networks"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"limit": 0}}),
    },
    ("get", "/networks/{network_id}"): {200: (FREE, {}), 404: (NO_NETWORK, {})},
    ("delete", "/networks/{network_id}"): {204: (FREE, {}), 404: (NO_NETWORK, {}), 409: (USED, {})},
    ("get", "/jobs/{job_id}/model"): {status: (job, {}) for status, job in ENDED.items()},
    ("get", "/datasets"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"limit": 0}}),
    },
    ("post", "/datasets/sample"): {201: ({}, {}), 429: ({}, {}), 507: ({}, {})},
    ("get", "/datasets/{dataset_id}"): {200: (DATASET, {}), 404: (NO_DATASET, {})},
    ("delete", "/datasets/{dataset_id}"): {
        204: ({"dataset_id": "images"}, {}),
        404: (NO_DATASET, {}),
        409: (DATASET, {}),
    },
    ("get", "/datasets/{dataset_id}/skipped"): {
        200: (DATASET, {}),
        400: (DATASET, {"params": {"cursor": "x"}}),
        404: (NO_DATASET, {}),
        422: (DATASET, {"params": {"limit": 1001}}),
    },
    ("get", "/datasets/{dataset_id}/samples"): {
        200: (DATASET, {}),
        400: (DATASET, {"params": {"cursor": "x"}}),
        404: (NO_DATASET, {}),
        422: (DATASET, {"params": {"limit": 0}}),
    },
    ("get", "/datasets/{dataset_id}/profile"): {200: (DATASET, {}), 404: (NO_DATASET, {})},
    ("get", "/datasets/{dataset_id}/samples/{sample_id}"): {
        200: ({**DATASET, "sample_id": "row-1"}, {}),
        404: ({**DATASET, "sample_id": "row-x"}, {}),
    },
    ("get", "/datasets/{dataset_id}/samples/{sample_id}/media"): {
        200: ({"dataset_id": "images", "sample_id": "a%2F1.png"}, {}),
        404: ({**DATASET, "sample_id": "row-1"}, {}),
        422: ({"dataset_id": "images", "sample_id": "a%2F1.png"}, {"params": {"side": 0}}),
    },
    ("post", "/jobs"): {
        202: ({}, {"json": {"dataset": "ds_1"}}),
        400: ({}, BROKEN),
        404: ({}, {"json": {"dataset": "ds_0"}}),
        409: ({}, {"json": {"connection": "con_1", "project": 7}}),
        413: ({}, form()),
        415: ({}, {"content": b"x"}),
        422: ({}, {"json": {}}),
        429: ({}, {"json": {"dataset": "ds_1"}}),
        502: ({}, {"json": {"connection": "con_1", "project": 7}}),
        507: ({}, form()),
    },
    ("post", "/jobs/estimate"): {
        200: ({}, {"json": {"dataset": "ds_1"}}),
        400: ({}, BROKEN),
        404: ({}, {"json": {"dataset": "ds_0"}}),
        413: ({}, {"json": ["x" * 2**24]}),
        415: ({}, {"content": b"x"}),
        422: ({}, {"json": {}}),
    },
    ("get", "/jobs"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"state": "x"}}),
    },
    ("get", "/jobs/{job_id}"): {200: (JOB, {}), 404: (NONE, {})},
    ("delete", "/jobs/{job_id}"): {204: (JOB, {}), 404: (NONE, {}), 409: (QUEUED, {})},
    ("get", "/jobs/{job_id}/events"): {
        200: (JOB, {}),
        400: (JOB, {"headers": {"Last-Event-ID": "x"}}),
        404: (NONE, {}),
    },
    ("post", "/jobs/{job_id}/cancel"): {202: (QUEUED, {}), 404: (NONE, {}), 409: (JOB, {})},
    ("post", "/jobs/{job_id}/retry"): {202: (CANCELLED, {}), 404: (NONE, {}), 409: (QUEUED, {})},
    ("get", "/jobs/{job_id}/suspects"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        400: (JOB, {"params": {"cursor": "x"}}),
        406: (JOB, {"headers": {"Accept": "image/png"}}),
        422: (JOB, {"params": {"by": "x"}}),
    },
    ("get", "/jobs/{job_id}/samples/{sample_id}"): {
        status: ({**job, "sample_id": "row-1"}, {}) for status, job in ENDED.items()
    },
    ("get", "/jobs/{job_id}/signals"): {status: (job, {}) for status, job in ENDED.items()},
    ("get", "/jobs/{job_id}/report"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        406: (JOB, {"headers": {"Accept": "image/png"}}),
        422: (JOB, {"params": {"format": "x"}}),
    },
    ("get", "/jobs/{job_id}/groups"): {status: (job, {}) for status, job in ENDED.items()},
    ("get", "/jobs/{job_id}/verify-next"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"count": 0}}),
    },
    ("post", "/jobs/{job_id}/reviews"): {
        201: (JOB, {"json": [{"sample_id": "row-1", "decision": "keep"}]}),
        400: (JOB, BROKEN),
        404: (NONE, {"json": []}),
        409: (QUEUED, {"json": []}),
        410: (CANCELLED, {"json": []}),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: (JOB, {"json": []}),
    },
    ("get", "/jobs/{job_id}/reviews"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        400: (JOB, {"params": {"cursor": "x"}}),
        422: (JOB, {"params": {"limit": 0}}),
    },
    ("get", "/jobs/{job_id}/reviews/summary"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"signal": "x"}}),
    },
    ("post", "/jobs/{job_id}/reviews/bulk"): {
        201: (JOB, {"json": {"filter": {}, "decision": "keep"}}),
        400: (JOB, BROKEN),
        404: (NONE, {"json": {}}),
        409: (QUEUED, {"json": {}}),
        410: (CANCELLED, {"json": {}}),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: (JOB, {"json": {"filter": {"by": "x"}, "decision": "keep"}}),
    },
    ("post", "/jobs/{job_id}/reviews/undo"): {
        201: (JOB, {"json": {"batch": "batch_1"}}),
        400: (JOB, BROKEN),
        404: (NONE, {"json": {}}),
        409: (QUEUED, {"json": {}}),
        410: (CANCELLED, {"json": {}}),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: (JOB, {"json": {"batch": "batch_0"}}),
    },
    ("post", "/jobs/{job_id}/audit/draws"): {
        201: (JOB, {"json": {"count": 2}}),
        400: (JOB, BROKEN),
        404: (NONE, {"json": {}}),
        409: (QUEUED, {"json": {}}),
        410: (CANCELLED, {"json": {}}),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: (JOB, {"json": {"goal": "x"}}),
    },
    ("get", "/jobs/{job_id}/audit"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"goal": "x"}}),
    },
    ("get", "/jobs/{job_id}/audit/certificate"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        406: (JOB, {"headers": {"Accept": "image/png"}}),
        422: (JOB, {"params": {"share": 2}}),
    },
    ("get", "/jobs/{job_id}/reviews/events"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        400: (JOB, {"headers": {"Last-Event-ID": "x"}}),
    },
    ("get", "/jobs/{job_id}/confusion"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"verdict": "x"}}),
    },
    ("get", "/jobs/{job_id}/map"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"method": "x"}}),
    },
    ("get", "/jobs/{job_id}/cut-offs"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"by": "x"}}),
    },
    ("get", "/jobs/{job_id}/classes"): {status: (job, {}) for status, job in ENDED.items()},
    ("get", "/jobs/{job_id}/planted-errors"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"signals": "x"}}),
    },
    ("post", "/datasets/{dataset_id}/versions"): {
        201: (DATASET, {"json": {"job": "job_1", "apply": "reviews"}}),
        400: (DATASET, BROKEN),
        404: (NO_DATASET, {"json": {"job": "job_1", "apply": "reviews"}}),
        409: (DATASET, {"json": {"job": "job_2", "apply": "reviews"}}),
        410: (DATASET, {"json": {"job": "job_3", "apply": "reviews"}}),
        413: (DATASET, {"json": ["x" * 2**24]}),
        415: (DATASET, {"content": b"x"}),
        422: (DATASET, {"json": {"job": "job_1", "apply": "x"}}),
        507: (DATASET, {"json": {"job": "job_1", "apply": "reviews"}}),
    },
    ("get", "/datasets/{dataset_id}/versions"): {200: (DATASET, {}), 404: (NO_DATASET, {})},
    ("get", "/datasets/{dataset_id}/download"): {
        200: (DATASET, {"params": {"format": "csv"}}),
        404: (NO_DATASET, {}),
        409: (DATASET, {"params": {"format": "original"}}),
        422: (DATASET, {"params": {"format": "docx"}}),
    },
    ("get", "/datasets/{dataset_id}/verified"): {
        200: (DATASET, {}),
        400: (DATASET, {"params": {"cursor": "x"}}),
        404: (NO_DATASET, {}),
        422: (DATASET, {"params": {"limit": 0}}),
    },
    ("get", "/jobs/{job_id}/diff"): {
        **{status: (job, {"params": {"other": "job_1"}}) for status, job in ENDED.items() if status != 200},
        200: (JOB, {"params": {"other": "job_5"}}),
        422: (JOB, {}),
    },
    ("get", "/jobs/{job_id}/lineage"): {200: (JOB, {}), 404: (NONE, {})},
    ("post", "/jobs/{job_id}/rerun"): {
        202: (JOB, {}),
        400: (JOB, BROKEN),
        404: (NONE, {}),
        409: (QUEUED, {}),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: ({"job_id": "job_5"}, {}),
    },
    ("post", "/jobs/{job_id}/proxies"): {
        201: (JOB, {"json": OPINIONS}),
        400: (JOB, BROKEN),
        404: (NONE, {"json": OPINIONS}),
        409: (QUEUED, {"json": OPINIONS}),
        410: (CANCELLED, {"json": OPINIONS}),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: (JOB, {"json": {"name": "nobody"}}),
    },
    ("post", "/jobs/{job_id}/rescore"): {
        202: ({"job_id": "job_9"}, {}),
        404: (NONE, {}),
        409: (JOB, {}),
        410: (CANCELLED, {}),
    },
    ("post", "/connections"): {
        201: ({}, {"json": {"kind": "label_studio", "url": "tool", "token": TOKEN}}),
        400: ({}, BROKEN),
        413: ({}, {"json": ["x" * 2**24]}),
        415: ({}, {"content": b"x"}),
        422: ({}, {"json": {}}),
    },
    ("get", "/connections"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"limit": 0}}),
    },
    ("get", "/connections/{connection_id}"): {200: (CONNECTION, {}), 404: (NO_CONNECTION, {})},
    ("delete", "/connections/{connection_id}"): {
        204: (CONNECTION, {}),
        404: (NO_CONNECTION, {}),
        409: ({"connection_id": "con_2"}, {}),
    },
    ("put", "/connections/{connection_id}/token"): {
        200: (CONNECTION, {"json": {"token": TOKEN}}),
        400: (CONNECTION, BROKEN),
        404: (NO_CONNECTION, {"json": {"token": TOKEN}}),
        413: (CONNECTION, {"json": ["x" * 2**24]}),
        415: (CONNECTION, {"content": b"x"}),
        422: (CONNECTION, {"json": {}}),
    },
    ("post", "/connections/{connection_id}/backend"): {201: (CONNECTION, {}), 404: (NO_CONNECTION, {})},
    ("post", "/jobs/{job_id}/push"): {
        **{status: (job, {"json": {}}) for status, job in ENDED.items()},
        400: (JOB, BROKEN),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: (JOB, {"json": {"mode": "x"}}),
        502: (JOB, {"json": {}}),
    },
    ("post", "/jobs/{job_id}/push/undo"): {**{status: (job, {}) for status, job in ENDED.items()}, 502: (JOB, {})},
    ("post", "/jobs/{job_id}/reconcile"): {**{status: (job, {}) for status, job in ENDED.items()}, 502: (JOB, {})},
    ("get", "/ls/{secret}/health"): {200: (TOOL, {}), 404: (NO_TOOL, {})},
    ("get", "/ls/{secret}/versions"): {200: (TOOL, {}), 404: (NO_TOOL, {})},
    ("post", "/ls/{secret}/setup"): {200: (TOOL, {"json": SETUP}), **_unread(SETUP)},
    ("post", "/ls/{secret}/predict"): {200: (TOOL, {"json": QUESTION}), **_unread(QUESTION)},
    ("post", "/ls/{secret}/webhook"): {
        202: (TOOL, {"json": EVENT}),
        **_unread(EVENT),
    },
    ("get", "/deliveries"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"state": "x"}}),
    },
    ("get", "/deliveries/{delivery_id}"): {200: (DEAD, {}), 404: (NO_DELIVERY, {})},
    ("post", "/deliveries/{delivery_id}/retry"): {202: (DEAD, {}), 404: (NO_DELIVERY, {}), 409: (PENDING, {})},
    ("post", "/keys"): {
        201: ({}, {"json": {"name": "Noor", "scopes": ["admin"]}}),
        400: ({}, BROKEN),
        413: ({}, {"json": ["x" * 2**24]}),
        415: ({}, {"content": b"x"}),
        422: ({}, {"json": {"name": "Noor", "scopes": ["read"]}}),
    },
    ("get", "/keys"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"limit": 0}}),
    },
    ("get", "/keys/{key_id}"): {200: (READER, {}), 404: (NO_KEY, {})},
    ("delete", "/keys/{key_id}"): {204: (READER, {}), 404: (NO_KEY, {}), 409: (ADMIN, {})},
    ("post", "/keys/{key_id}/rotate"): {
        201: (READER, {"json": {}}),
        400: (READER, BROKEN),
        404: (NO_KEY, {"json": {}}),
        409: (EXPIRED, {"json": {}}),
        413: (READER, {"json": ["x" * 2**24]}),
        415: (READER, {"content": b"x"}),
        422: (READER, {"json": {"grace_seconds": -1}}),
    },
    ("get", "/audit-log"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"limit": 0}}),
    },
    ("post", "/sign-out"): {204: ({}, {"headers": {"Sec-Fetch-Site": "same-origin"}}), 403: ({}, {})},
    ("get", "/readyz"): {200: ({}, {}), 422: ({}, {"params": {"exclude": "x"}}), 503: ({}, {})},
}
ENDLESS = {"/events", "/jobs/{job_id}/reviews/events"}
PREPARED: dict[int, Prepare] = {
    401: Scene.keys,
    409: Scene.another_key,
    413: Scene.small,
    429: Scene.full_queue,
    502: Scene.broken_tool,
    503: Scene.no_database,
    507: Scene.full_disk,
}


@pytest.fixture
def scene(client: httpx.Client, services: Services, tool: StandIn) -> Scene:
    return Scene(client, services, tool)


@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=lambda part: part if isinstance(part, str) else ""
)
def test_every_documented_status_occurs(
    scene: Scene, method: str, path: str, operation: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Refusals first: they change nothing.
    for status in sorted(map(int, operation["responses"]), reverse=True):
        with monkeypatch.context() as patch, scene.restored():
            if status == 507:
                patch.setattr("secrets.token_hex", lambda _size: "chosen")
                patch.setattr("service.actions.make_version.new_id", lambda _prefix: "ds_full")
            response = occur(scene, method, path, status)
        assert response.status_code == status, response.text
        check_form(response, operation["responses"][str(status)])


def occur(scene: Scene, method: str, path: str, status: int) -> httpx.Response:
    """Bring a status about."""
    known = SENT.get((method, path), {})
    # 401, 403 and 503 do not depend on what is sent.
    where, sent = known[status] if status in known else next(iter(known.values()), ({}, {}))
    assert status in known or status in (200, 401, 403, 503), "a documented status that nothing brings about"
    if path == "/readyz" and status == 200:
        scene.worker()
    elif path.endswith("/rescore") and status == 202:
        scene.verified()
    elif status in PREPARED:
        PREPARED[status](scene)
    if status == 403:
        sent = {**sent, "headers": {**sent.get("headers", {}), "Origin": "https://elsewhere.example"}}
    if path == "/connections" and isinstance(sent.get("json"), dict) and sent["json"]:
        sent = {**sent, "json": {**sent["json"], "url": scene.tool.url}}
    if "{key_id}" in path and status != 503:
        scene.made_keys()
        key = {401: "wrong", 403: scene.tokens["reader"]}.get(status, scene.tokens["admin"])
        sent = {**sent, "headers": {**sent.get("headers", {}), "Authorization": f"Bearer {key}"}}
    places = {name: scene.made.get(value, value) for name, value in where.items()}
    if path in ENDLESS and status == 200:
        with scene.client.stream(method, path.format(**places), **sent) as begun:
            return begun
    return scene.client.request(method, path.format(**places), **sent)


def check_form(response: httpx.Response, described: dict[str, Any]) -> None:
    """The answer has a described type; a problem has its members, and says when to come back or what is in the way."""
    kind = response.headers.get("Content-Type", "").partition(";")[0]
    status = response.status_code
    if status != 204:
        assert kind in described["content"] or f"{kind.partition('/')[0]}/*" in described["content"]
    if status >= 400:
        problem = response.json()
        assert {"type", "title", "status", "detail", "code"} <= set(problem)
        assert problem["status"] == status
    if status in (409, 429, 503):
        assert {"state", "jobs", "checks", "formats"} & set(problem) or response.headers["Retry-After"]


def test_csv_of_the_readme_is_accepted_as_a_stream(client: httpx.Client) -> None:
    response = client.post(
        "/jobs", files={"file": ("train.csv", io.BytesIO(CSV)), "spec": (None, b'{"dataset": {"label": "animal"}}')}
    )
    assert response.status_code == 202
