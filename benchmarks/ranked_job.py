"""A completed job over many rows, written as a worker writes it, and the service over it in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from service.domain.dataset import METADATA_KEY, CanonicalHeader, DatasetInfo, Feature
from service.domain.job import Progress, State
from service.ingest.canonical import GROUP_ROWS
from service.store import datasets, jobs, ranking_columns, rankings
from service.store.blobs import Blobs
from service.store.engine import Database
from service.terminal.processes import free_port
from tests import servers
from tests.builders import COMPUTED, LEASE, NOON, dataset_info, job_spec, result, summaries

CLASSES = [f"class {letter}" for letter in "abcdefghij"]
ABSENT = "class z"  # of the dataset, and of no row
NUMERIC, CATEGORICAL = 6, 2
_MIXED = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Filled:
    """A dataset with its completed job, and how long each part of the recording took."""

    info: DatasetInfo
    table_seconds: float
    columns_seconds: float


def fill(
    database: Database,
    blobs: Blobs,
    rows: int,
    *,
    number: int = 1,
    signals: Sequence[str] = COMPUTED,
    mixed_ids: bool = False,
    now: datetime = NOON,
) -> Filled:
    """The dataset `ds_<number>` of six numbers and two categories a row, and its `job_<number>`, in random order of suspicion.

    With `mixed_ids` the ids of the samples are no row numbers, and say nothing of the place in the file. `now`: when it
    ended; the service removes checkpoints of jobs that ended long ago.
    """
    info, job_id = _described(f"ds_{number}", rows), f"job_{number}"
    ids = _ids(rows, mixed_ids)
    _write_canonical(blobs.canonical(info.id), info, ids)
    table, columns = _ranking(rows, ids, signals, number)
    known = summaries(signals)
    known["groups"] = {"groups": _groups(rows)}
    known["proposals"] = _proposals(rows)
    with database.write() as connection:
        datasets.add(connection, info)
        jobs.add(connection, job_id, job_spec(info), now)
        held = jobs.claim(connection, job_id, "worker-1", LEASE, now)
        if held is None:
            raise RuntimeError("the job that was added is not to be claimed")
        for state in (State.TRAINING, State.SCORING, State.RANKING):
            jobs.advance(connection, held, state, Progress(phase=state, fraction=0.5), now)
        jobs.complete(connection, held, result(rows, signals), now)
        began = time.perf_counter()
        rankings.save(connection, job_id, table)
        table_seconds = time.perf_counter() - began
        rankings.save_summaries(connection, job_id, known)
    began = time.perf_counter()
    ranking_columns.save(blobs.ranking(job_id), table, signals, columns)
    return Filled(info, table_seconds, time.perf_counter() - began)


def _described(dataset_id: str, rows: int) -> DatasetInfo:
    names = [f"measure {n}" for n in range(NUMERIC)] + [f"kind {n}" for n in range(CATEGORICAL)]
    kinds = ["numeric"] * NUMERIC + ["categorical"] * CATEGORICAL
    features = [
        Feature.model_validate({"name": name, "kind": kind, "column": f"f{place}"})
        for place, (name, kind) in enumerate(zip(names, kinds, strict=True))
    ]
    counts = {name: len(range(place, rows, len(CLASSES))) for place, name in enumerate(CLASSES)}
    return dataset_info(
        dataset_id,
        rows=rows,
        name=f"{rows:,} rows",
        classes=[*CLASSES, ABSENT],
        class_counts={**counts, ABSENT: 0},
        features=features,
        splits={"train": rows},
    )


def _ids(rows: int, mixed: bool) -> list[str]:
    if not mixed:
        return [f"row-{place}" for place in range(rows)]
    return [f"{value:016x}" for value in ((np.arange(rows, dtype=np.uint64) + np.uint64(1)) * _MIXED).tolist()]


def _write_canonical(path: Path, info: DatasetInfo, ids: Sequence[str]) -> None:
    header = CanonicalHeader(
        modality=info.modality,
        classes=info.classes,
        features=[{"name": one.name, "kind": one.kind, "column": one.column} for one in info.features],
    )
    draw, index = np.random.default_rng(0), np.arange(info.rows)
    columns: dict[str, Any] = {
        "index": index,
        "id": ids,
        "label": pa.array(index % len(CLASSES), pa.int32()),
        "split": pa.DictionaryArray.from_arrays(np.zeros(info.rows, np.int32), ["train"]).cast(pa.string()),
    }
    for one in info.features:
        columns[one.column] = (
            np.round(draw.normal(size=info.rows), 4)
            if one.kind == "numeric"
            else pa.DictionaryArray.from_arrays(
                draw.integers(0, 12, info.rows), [f"category {n}" for n in range(12)]
            ).cast(pa.string())
        )
    table = pa.table(columns).replace_schema_metadata({METADATA_KEY: header.model_dump_json().encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    words = ["split", *(one.column for one in info.features if one.kind == "categorical")]
    # As the service stores an upload: `service.ingest.canonical`.
    packed = {name: "zstd" if name == "id" else "lz4" for name in columns}
    pq.write_table(table, path, GROUP_ROWS, compression=packed, use_dictionary=words, write_statistics=["index", "id"])


def _ranking(rows: int, ids: Sequence[str], signals: Sequence[str], seed: int) -> tuple[pa.Table, dict[str, Any]]:
    draw, index = np.random.default_rng(seed), np.arange(rows)
    names = np.array(CLASSES, dtype=object)
    wrong, odd = index % 20 == 7, index % 50 == 3
    # Signals that count neighbours have few values, and so long ties.
    scores = {
        name: draw.integers(0, 51, rows) / 50
        if name in ("slip", "slin", "knn_vote")
        else draw.uniform(size=rows).round(6)
        for name in signals
    }
    table = pa.table(
        {
            "index": index,
            "position": index,
            "sample_id": ids,
            "given_label": pa.array(names[index % len(names)], pa.string()),
            "suggested_label": pa.array(names[(index + wrong) % len(names)], pa.string()),
            "suggested_confidence": draw.uniform(0.3, 1, rows),
            "verdict": pa.array(np.where(wrong, "mislabeled", np.where(odd, "anomalous", "clean"))),
            "planted_kind": pa.nulls(rows, pa.string()),
            "planted_label": pa.nulls(rows, pa.string()),
            **scores,
        }
    )
    maps = draw.normal(size=(rows, 2)).astype(np.float32)
    return table, {
        "wrong": draw.uniform(size=rows).astype(np.float32),
        "part": draw.integers(1, 3, rows).astype(np.int8),
        "map-pca": maps,
    }


def _groups(rows: int) -> list[dict[str, Any]]:
    """Both parts of each label, 50 samples of each from all over the file."""
    found = []
    for place, label in enumerate(CLASSES):
        members = np.linspace(place, rows - len(CLASSES), 100).astype(int) // len(CLASSES) * len(CLASSES) + place
        parts = [
            {"part": name, "size": size, "leans_to": CLASSES[place - 1], "lean": 0.5, "positions": some.tolist()}
            for name, size, some in (
                ("tighter", rows // 30, members[:50]),
                ("looser", rows // 10 - rows // 30, members[50:]),
            )
        ]
        tighter = {
            "label": label,
            "size": rows // 30,
            "separation": 0.5,
            "gap": 0.5,
            "positions": members[:50].tolist(),
        }
        found.append({**tighter, "parts": parts})
    return found


def _proposals(rows: int) -> dict[str, Any]:
    many = min(500, rows)
    positions = np.linspace(0, rows - 1, many).astype(int).tolist()
    turns = [place // len(CLASSES) for place in range(many)]
    return {"positions": positions, "turns": turns, "closer": [1] * many, "among": [many] * many}


@contextmanager
def database_of(kind: str, home: Path) -> Iterator[str]:
    """URL of a new database of this kind, sqlite or postgresql; it is not migrated."""
    if kind == "sqlite":
        yield f"sqlite:///{home / 'suspects.db'}"
        return
    with servers.postgres() as url:
        yield url


@contextmanager
def served(home: Path, database_url: str, broker_url: str | None = None) -> Iterator[tuple[str, int]]:
    """URL of the service and the number of its process, without a worker; with a broker of its own unless one is named."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SUSPECTS_")}
    home.mkdir(parents=True, exist_ok=True)
    with ExitStack() as running:
        log = running.enter_context((home / "api.log").open("w"))
        environment |= {
            "SUSPECTS_HOME": str(home),
            "SUSPECTS_DATABASE_URL": database_url,
            "SUSPECTS_BROKER_URL": broker_url or running.enter_context(servers.valkey()),
        }
        # As the embedded stack and the image serve it, in one process, which is measured.
        command = [sys.executable, "-m", "uvicorn", "--factory", "service.main:create_app", "--port", str(port)]
        command += [
            "--no-access-log",
            "--no-server-header",
            "--http",
            "service.api.http.slow_headers:CutOffSlowHeaders",
        ]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603 - ours
        try:
            url = f"http://127.0.0.1:{port}"
            _await(url, process)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(20)


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit("the service did not start; its log is api.log in its home")
        try:
            httpx.get(f"{url}/healthz", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the service did not answer within a minute")


def review_some(client: httpx.Client, count: int) -> None:
    """Decide on the first `count` of the ranking, at most a thousand in a request."""
    for start in range(0, count, 1_000):
        asked: dict[str, Any] = {"limit": min(1_000, count - start), "offset": start, "signals": "mislabeled"}
        items = client.get("/jobs/job_1/suspects", params=asked).raise_for_status().json()["items"]
        words = [{"sample_id": one["sample"]["id"], "decision": "keep"} for one in items]
        client.post("/jobs/job_1/reviews", json=words).raise_for_status()
