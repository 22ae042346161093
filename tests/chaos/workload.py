"""Small jobs of a campaign, and what undisturbed runs of them gave."""

import hashlib
import json
import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.store.tables import suspects
from tests.chaos.stack import Stack
from tests.integration.installation import embeddings, table

# Phases of a few tenths of a second, which can be struck, on tables; and a frozen network, whose outputs are cached in files.
_TABLES: dict[str, Any] = {"training": {"epochs": 14, "batch_size": 32}}
_TEXTS: dict[str, Any] = {
    "model": {"name": "pretrained_text", "params": {"backbone": "all-minilm-l6-v2"}},
    "training": {"epochs": 6, "batch_size": 16},
}
_EMBEDDINGS: dict[str, Any] = {
    "reference": {"split": "test"},
    "training": {"epochs": 2, "batch_size": 512, "learning_rate": 0.01},
}
_WITHIN_S = 300.0
_WORDS = [
    ["match", "goal", "team", "score", "player", "coach", "league", "season"],
    ["vote", "party", "law", "minister", "election", "senate", "bill", "budget"],
    ["planet", "orbit", "star", "telescope", "comet", "moon", "probe", "galaxy"],
]


def texts(rows: int = 72) -> bytes:
    """Short texts about three subjects."""
    drawn = random.Random(7)
    lines = ["id,text,kind"]
    for row in range(rows):
        subject = row % 3
        lines.append(f"t{row},{' '.join(drawn.choices(_WORDS[subject], k=9))},{'abc'[subject]}")
    return "\n".join(lines).encode()


@dataclass(frozen=True)
class Kind:
    """A job that is submitted again and again."""

    name: str
    content: bytes
    columns: dict[str, str]
    spec: dict[str, Any]
    suffix: str = "csv"


def kinds(tables: int, *, with_texts: bool, with_embeddings: bool) -> list[Kind]:
    """So many tables, one set of texts, and embeddings, whose scoring is shared."""
    found = [Kind(f"table{seed}", table(seed), {"label": "kind", "id": "name"}, _TABLES) for seed in range(tables)]
    if with_texts:
        found.append(Kind("texts", texts(), {"label": "kind", "id": "id"}, _TEXTS))
    if with_embeddings:
        found.append(Kind("embeddings", embeddings(), {"modality": "embedding"}, _EMBEDDINGS, "npz"))
    return found


@dataclass
class Workload:
    """The jobs of an installation: which dataset each kind has, and the ranking that an undisturbed job of the kind gave."""

    stack: Stack
    kinds: list[Kind]
    datasets: dict[str, str] = field(default_factory=dict)
    rankings: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, set[str]] = field(default_factory=dict)
    submitted: dict[str, Kind] = field(default_factory=dict)

    def prepare(self) -> None:
        """Upload every dataset, and run a job of each kind undisturbed."""
        jobs = []
        for kind in self.kinds:
            self.upload(kind)
            jobs.append((kind, self.submit(kind)))
        for kind, job_id in jobs:
            self._wait(job_id)
            self.rankings[kind.name] = self.ranking(job_id)
            self.files[kind.name] = self.names_of(job_id)

    def upload(self, kind: Kind) -> None:
        """Upload the dataset of a kind; where it is there already and damaged, this makes it anew."""
        files, spec = {"file": (f"{kind.name}.{kind.suffix}", kind.content)}, json.dumps(kind.columns)
        made = self._answer(lambda: self.stack.client.post("/datasets", files=files, data={"spec": spec}))
        self.datasets[kind.name] = made.json()["id"]

    def submit(self, kind: Kind) -> str:
        """Queue a job; asked for again, under one key, until the API has answered."""
        key = uuid.uuid4().hex
        body = {"dataset": self.datasets[kind.name], "name": key, **kind.spec}
        return self._accepted(
            kind, lambda: self.stack.client.post("/jobs", json=body, headers={"Idempotency-Key": key})
        )

    def submit_upload(self, kind: Kind) -> str:
        """The same with the file in the request."""
        key = uuid.uuid4().hex
        spec = json.dumps({"dataset": kind.columns, "name": key, **kind.spec})
        files = {"file": (f"{kind.name}.{kind.suffix}", kind.content)}
        return self._accepted(
            kind,
            lambda: self.stack.client.post("/jobs", files=files, data={"spec": spec}, headers={"Idempotency-Key": key}),
        )

    def _accepted(self, kind: Kind, ask: Callable[[], httpx.Response]) -> str:
        job_id: str = self._answer(ask).json()["id"]
        self.submitted[job_id] = kind
        return job_id

    @staticmethod
    def _answer(ask: Callable[[], httpx.Response]) -> httpx.Response:
        """What the API answers once it can."""
        deadline = time.monotonic() + _WITHIN_S
        while True:
            try:
                answer = ask()
            except httpx.TransportError as error:
                why = repr(error)
            else:
                if answer.is_success:
                    return answer
                why = answer.text
                assert answer.status_code >= 500, why
            if time.monotonic() > deadline:
                raise TimeoutError(why)
            time.sleep(0.1)

    def upload_in_vain(self) -> threading.Thread:
        """Begin an upload that takes seconds; whoever kills the API meanwhile need not care what comes of it."""
        content = b"x,y\n" + b"".join(b"%d,%s\n" % (i, b"ab"[i % 2 : i % 2 + 1]) for i in range(300_000))

        def send() -> None:
            try:
                httpx.post(
                    f"{self.stack.url}datasets", files={"file": ("vain.csv", content)}, trust_env=False, timeout=60
                )
            except httpx.TransportError:
                return

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        return thread

    def ranking(self, job_id: str) -> bytes:
        """The whole ranking with every column, as it is served and as the database has it, and digests of the evidence."""
        path, parameters = f"/jobs/{job_id}/suspects", {"format": "csv"}
        answer = self._answer(lambda: self.stack.client.get(path, params=parameters))
        evidence = sorted(self.stack.blobs.evidence(job_id).glob("*"))
        assert evidence
        digests = [f"{one.name} {hashlib.sha256(one.read_bytes()).hexdigest()}" for one in evidence]
        with self.stack.database.read() as connection:
            wanted = suspects.select().where(suspects.c.job_id == job_id).order_by(suspects.c.index)
            rows = [repr({**row, "job_id": None}) for row in connection.execute(wanted).mappings()]
        return "\n".join([answer.text, *rows, *digests]).encode()

    def names_of(self, job_id: str) -> set[str]:
        """Names of the files of a job."""
        folder = f"jobs/{job_id}/"
        return {one.removeprefix(folder) for one in self.stack.names() if one.startswith(folder)}

    def kind_of(self, job_id: str) -> Kind:
        """What job it is."""
        return self.submitted[job_id]

    def _wait(self, job_id: str) -> None:
        deadline = time.monotonic() + _WITHIN_S
        while True:
            job = self.stack.client.get(f"/jobs/{job_id}").json()
            if job["state"] == "completed":
                return
            assert job["state"] not in ("failed", "cancelled"), job["error"]
            assert time.monotonic() < deadline, job
            time.sleep(0.05)
