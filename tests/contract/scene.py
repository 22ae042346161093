"""A service with something of everything, of which every status can be asked for."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from cryptography.fernet import Fernet
from pydantic import SecretStr

from service.actions.keys import create_key
from service.domain.access import Caller, KeyRequest
from service.domain.connection import Connection, ConnectionCheck, PullSource
from service.ingest.confined import IngestProcesses
from service.outbound.secrets import Vault
from service.services import Services
from service.store import connections, key_jobs, keys, networks, pulls, webhooks
from service.store.connections import EncryptedConnection
from service.store.engine import open_database
from service.store.tables import reviews
from tests.builders import add_finished, add_job, finish, form, image_zip, sign_in
from tests.stand_in import TOKEN, StandIn


def state(rows: int) -> bytes:
    """Weights as safetensors."""
    header = json.dumps({"a": {"dtype": "F32", "shape": [rows], "data_offsets": [0, 4 * rows]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4 * rows)


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
        trees = form(gzip.compress(b"kind,size\noak,1\nelm,2\n"), "trees.csv.gz", {"label": "kind"})
        uploads = {"images": images, "trees": trees}
        self.made = {name: client.post("/datasets", **sent).json()["id"] for name, sent in uploads.items()}
        self.made |= self.deliveries()
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
        """Four keys: of an admin, of somebody who may read, one that has expired, and one that has begun its only job of today."""
        if self.tokens:
            return
        quota = {"quota": {"jobs_per_day": 1}}
        for name, scopes in (("admin", ["admin"]), ("reader", ["read"]), ("expired", ["read"]), ("spent", ["submit"])):
            request = {"name": name, "scopes": scopes} | (quota if name == "spent" else {})
            created = create_key(self.services, Caller(), KeyRequest.model_validate(request))
            self.made[f"{name} key"], self.tokens[name] = created.id, created.key
        with self.services.database.write() as connection:
            keys.expire(connection, self.made["expired key"], self.services.now())
            key_jobs.count_job(connection, self.made["spent key"], self.services.now().date())

    def full_queue(self) -> None:
        """Let no job and no upload wait from now on."""
        self.change("ingests", IngestProcesses(most=1, waiting=-1))
        self.change("settings", self.services.settings.model_copy(update={"max_waiting_jobs": 1}))

    def small(self) -> None:
        """Take only tiny files from now on, and give none that was larger."""
        sizes = dict.fromkeys(("max_upload_bytes", "max_expanded_bytes"), 10)
        self.change("settings", self.services.settings.model_copy(update=sizes))

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
        """Let the next upload, version or file that is written again land on a device that is always full."""
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
