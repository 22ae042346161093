"""What tests are made of: datasets, jobs and rankings that need neither an upload nor a computation."""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from service.domain.dataset import METADATA_KEY, CanonicalHeader, DatasetInfo, Feature, Inferred
from service.domain.issue import ISSUE_TYPES
from service.domain.job import Progress, State
from service.domain.resolve import resolve
from service.domain.signal import SIGNALS
from service.domain.specs import JobRequest, JobSpec
from service.domain.stage import FIRST
from service.services import Services
from service.store import (
    datasets,
    evidence,
    first_rankings,
    job_events,
    jobs,
    leases,
    ranking_columns,
    rankings,
    rescorings,
    workers,
)
from service.store.blobs import Blobs
from service.store.clock import database_time
from service.store.engine import Database
from service.store.jobs import Claim
from service.store.workers import WorkerProcess

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE = timedelta(seconds=30)
CLASSES = ["cat", "dog", "eel"]
COMPUTED = [name for name, signal in SIGNALS.items() if not signal.trusted_reference]


def dataset_info(dataset_id: str = "ds_1", rows: int = 12, **changes: Any) -> DatasetInfo:
    """A tabular dataset of three classes; its last fourth is the split "test"."""
    held = rows // 4
    info = DatasetInfo(
        id=dataset_id,
        name="animals",
        modality="tabular",
        rows=rows,
        classes=CLASSES,
        class_counts={name: len(range(place, rows, 3)) for place, name in enumerate(CLASSES)},
        features=[
            Feature(name="weight", kind="numeric", column="f0"),
            Feature(name="colour", kind="categorical", column="f1"),
        ],
        splits={"train": rows - held, "test": held},
        digest=f"sha256:{dataset_id}",
        skipped_rows=0,
        inferred=Inferred(label="animal", format="csv, delimiter comma, encoding utf-8"),
        warnings=[],
        created_at=NOON,
    )
    return info.model_copy(update=changes)


def write_canonical(path: Path, info: DatasetInfo) -> None:
    """The canonical file of `info`: row i is called row-i and carries class i modulo 3."""
    rows = info.rows
    header = CanonicalHeader(
        modality=info.modality,
        classes=info.classes,
        features=[{"name": f.name, "kind": f.kind, "column": f.column} for f in info.features],
    )
    table = pa.table(
        {
            "index": pa.array(range(rows), pa.int64()),
            "id": [f"row-{i}" for i in range(rows)],
            "label": pa.array([i % 3 for i in range(rows)], pa.int32()),
            "split": ["train"] * info.splits["train"] + ["test"] * info.splits["test"],
            "f0": [i / 2 for i in range(rows)],
            "f1": [None if i == 1 else f"colour {i % 5}" for i in range(rows)],
        }
    ).replace_schema_metadata({METADATA_KEY: header.model_dump_json().encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=5)


def add_dataset(
    database: Database, dataset_id: str = "ds_1", blobs: Blobs | None = None, **changes: Any
) -> DatasetInfo:
    """A stored dataset, with its canonical file when `blobs` is given."""
    info = dataset_info(dataset_id, **changes)
    if blobs is not None:
        write_canonical(blobs.canonical(dataset_id), info)
    with database.write() as connection:
        datasets.add(connection, info)
    return info


def job_spec(info: DatasetInfo, **options: Any) -> JobSpec:
    """What a client's request becomes."""
    return resolve(JobRequest.model_validate({"dataset": info.id, **options}), info)


def add_job(
    database: Database, info: DatasetInfo, job_id: str = "job_1", now: datetime = NOON, **options: Any
) -> JobSpec:
    """A queued job."""
    spec = job_spec(info, **options)
    with database.write() as connection:
        jobs.add(connection, job_id, spec, now)
    return spec


def ranking(info: DatasetInfo, signals: Sequence[str] = COMPUTED, ids: Mapping[int, str] | None = None) -> pa.Table:
    """Rank the rows of the split "train". Scores come in ties of two; every fifth row was planted and flagged."""
    rows = info.splits["train"]
    index = np.arange(rows)
    planted = index % 5 == 0
    score = np.round((index // 2 * 7 % rows) / rows, 6)
    labels: npt.NDArray[Any] = np.array(info.classes, dtype=object)
    nothing: npt.NDArray[Any] = np.full(rows, None, dtype=object)
    return pa.table(
        {
            "index": index,
            "position": index,
            "sample_id": [(ids or {}).get(i, f"row-{i}") for i in index.tolist()],
            "given_label": pa.array(labels[index % 3], pa.string()),
            "suggested_label": pa.array(labels[(index + planted) % 3], pa.string()),
            "suggested_confidence": 0.3 + 0.7 * (index * 5 % rows) / rows,
            "verdict": pa.array(np.where(planted, "mislabeled", np.where(index % 7 == 3, "anomalous", "clean"))),
            "planted_kind": pa.array(np.where(planted, "mislabeled_uniform", nothing), pa.string()),
            "planted_label": pa.array(np.where(planted, labels[(index + 1) % 3], nothing), pa.string()),
            **{name: score if name == "mislabeled" else (score * 31 + k) % 1.0 for k, name in enumerate(signals)},
        }
    )


def summaries(signals: Sequence[str] = COMPUTED, rows: int = 9) -> dict[str, dict[str, Any]]:
    """What a worker says of each signal, its groups, and that the last row of every class is verified first."""
    found: dict[str, dict[str, Any]] = {
        name: {
            "histogram": {"edges": [0.0, 0.5, 1.0], "counts": [3, 6]},
            "quantiles": {"0.05": 0.0, "0.5": 0.5, "0.95": 1.0},
            "correlations": {other: 0.5 for other in signals if other != name},
            "detection": None,
            "detection_by_kind": {},
        }
        for name in signals
    }
    found["groups"] = {"groups": [group(rows)]}
    turns = [row // 3 for row in range(rows)]
    among = [len(range(row % 3, rows, 3)) - 1 for row in range(rows)]
    found["proposals"] = {
        "positions": [among[row] * 3 + row % 3 - row // 3 * 3 for row in range(rows)],
        "turns": turns,
        "closer": [max(0, most - 2 * turn) for most, turn in zip(among, turns, strict=True)],
        "among": among,
    }
    return found


def group(rows: int = 9) -> dict[str, Any]:
    """The two parts of dog, as a worker says them: rows 4 and 1, and the others."""
    tighter, looser = [4, 1], list(range(7, rows, 3))
    return {
        "label": "dog",
        "size": 2,
        "separation": 0.8,
        "gap": 0.9,
        "positions": tighter,
        "parts": [
            {"part": "tighter", "size": 2, "leans_to": "eel", "lean": 0.8, "positions": tighter},
            {"part": "looser", "size": len(looser), "leans_to": None, "lean": 0.0, "positions": looser[:50]},
        ],
    }


def kept_issues() -> dict[str, Any]:
    """What a worker keeps of issues: three sets of two copies, nothing else, and no look at leakage."""
    samples = [
        {"id": f"row-{row}", "index": row, "label": "cat", "part": "training", "group": row // 2, "detail": None}
        for row in range(6)
    ]
    none = {"score": 0.0, "flagged": 0, "detail": "Nothing.", "samples": [], "found": False}
    copies = {"score": 0.1, "flagged": 6, "detail": "Copies.", "samples": samples, "found": True}
    items = [{**(copies if name == "exact_duplicates" else none), "type": name} for name in ISSUE_TYPES]
    return {
        "items": [one for one in items if one["type"] != "leakage"],
        "not_checked": [{"type": "leakage", "reason": "This job holds no sample out."}],
    }


def save_parts(blobs: Blobs, job_id: str, table: pa.Table) -> None:
    """What a worker says of each row's part of its label, as `group` says of those of dog."""
    labels, positions = table.column("given_label").to_pylist(), table.column("position").to_pylist()
    parts = [
        (1 if position in (1, 4) else 2) if label == "dog" else 0
        for label, position in zip(labels, positions, strict=True)
    ]
    ranking_columns.save(blobs.ranking(job_id), table, COMPUTED, {"part": np.array(parts, np.int8)})


def result(samples: int, signals: Sequence[str] = COMPUTED) -> dict[str, Any]:
    """What a worker says of a finished job."""
    return {
        "samples": samples,
        "model": {"name": "mlp", "train_accuracy": 0.9, "reference_accuracy": None},
        "estimates": {
            "mislabeled": {"count": 2, "low": 1, "high": 3},
            "anomalous": {"count": 0, "low": None, "high": None},
        },
        "timings": {"training_s": 1.0, "scoring_s": 0.5, "ranking_s": 0.1},
        "confidence": "probability",
        "signals": list(signals),
        "warnings": [{"code": "no_trusted_reference", "detail": "nothing is verified"}],
    }


def save_evidence(blobs: Blobs, job_id: str, info: DatasetInfo) -> None:
    """Three checkpoints; from the second on another class is ahead of every sample's own. Row 5 is a suspect."""
    rows = info.splits["train"]
    one = np.ones((rows, 3), np.float32)
    arrays: dict[str, npt.NDArray[Any]] = {
        "positions": np.arange(rows),
        "loss": one * [0.5, 1.5, 2.5],
        "margin": one * [0.25, -0.5, -1.0],
        "self_influence": one * [0.125, 0.25, 0.5],
        "classes": np.stack([np.arange(rows) % 3, (np.arange(rows) + 1) % 3], 1).astype(np.int32),
        "class_influence": np.stack([one * 2, one * -3], 2),
        "supporting": np.tile([3, -1], (rows, 1)),
        "supporting_values": np.tile(np.array([0.75, 0], np.float32), (rows, 1)),
        "opposing": np.tile([4, 1], (rows, 1)),
        "opposing_values": np.tile(np.array([-2.0, -1.0], np.float32), (rows, 1)),
        "suspect_positions": np.array([5]),
        "suspect_class": np.array([0], np.int32),
        "suspect_looked_at": np.array([4], np.int32),
        "suspect_against": np.array([[1, 4, 3]], np.int32),
        "suspect_supporting": np.array([[6, -1]]),
        "suspect_supporting_values": np.array([[[1, 2, -0.5], [0, 0, 0]]], np.float32),
        "suspect_opposing": np.array([[0, 3]]),
        "suspect_opposing_values": np.array([[[0.5, -2, -3], [0, -1, -1]]], np.float32),
    }
    evidence.save(blobs.evidence(job_id), arrays, [1, 2, 3], info.id)


def ranking_of(blobs: Blobs, info: DatasetInfo) -> pa.Table:
    """Rank the rows that the canonical file has, by the labels that they carry there; all flagged, none planted."""
    rows = pq.read_table(blobs.canonical(info.id), columns=["index", "id", "label", "split"]).to_pylist()
    train = [(position, row) for position, row in enumerate(rows) if row["split"] == "train"]
    found = ranking(info.model_copy(update={"splits": {"train": len(train)}, "classes": CLASSES}))
    new: dict[str, Any] = {
        "index": [row["index"] for _, row in train],
        "position": [position for position, _ in train],
        "sample_id": [row["id"] for _, row in train],
        "given_label": [info.classes[row["label"]] for _, row in train],
        "suggested_label": [info.classes[(row["label"] + 1) % len(info.classes)] for _, row in train],
        "verdict": ["mislabeled"] * len(train),
        "planted_kind": pa.nulls(len(train), pa.string()),
        "planted_label": pa.nulls(len(train), pa.string()),
    }
    for name, values in new.items():
        found = found.set_column(found.schema.get_field_index(name), name, pa.array(values))
    return found


def finish(
    database: Database,
    job_id: str,
    info: DatasetInfo,
    *,
    blobs: Blobs | None = None,
    signals: Sequence[str] = COMPUTED,
    ids: Mapping[int, str] | None = None,
    table: pa.Table | None = None,
    now: datetime = NOON,
) -> None:
    """Do to a queued job what a worker does, without computing."""
    table = ranking(info, signals, ids) if table is None else table
    with database.write() as connection:
        held = jobs.claim(connection, job_id, "worker-1", LEASE, now)
        assert held is not None
        for state in (State.TRAINING, State.SCORING, State.RANKING):
            jobs.advance(connection, held, state, Progress(phase=state, fraction=0.5), now)
            if state is State.TRAINING:
                job_events.record(connection, job_id, "metrics", {"epoch": 1, "loss": 1.0, "accuracy": 0.5}, now)
    if blobs is not None:
        save_evidence(blobs, job_id, info)
    with database.write() as connection:
        jobs.complete(connection, held, result(len(table), signals), now)
        rankings.save(connection, job_id, table)
        rankings.save_summaries(connection, job_id, summaries(signals, len(table)))


def give_first_ranking(services: Services, held: Claim, info: DatasetInfo, table: pa.Table | None = None) -> None:
    """Do what a worker does with the first ranking of a job that it has claimed."""
    table = ranking(info, ["mislabeled"]) if table is None else table
    first = {**result(len(table), ["mislabeled"]), "stage": "quick", "confidence": "order"}
    first_rankings.save(services.blobs.ranking(held.job_id, FIRST), table, first, {})
    with services.database.write() as connection:
        jobs.record_first(connection, held, first, NOON)
        rankings.save(connection, held.job_id, table)


CSV = b"weight,colour,animal\n" + b"".join(
    b"%d.5,%s,%s\n" % (i, b"red" if i % 2 else b"blue", (b"cat", b"dog", b"eel")[i % 3]) for i in range(60)
)


def form(content: bytes = CSV, filename: str = "animals.csv", spec: object = None) -> dict[str, Any]:
    """Arguments for a client's `post`: a file, and what is known of it."""
    data = {} if spec is None else {"spec": json.dumps(spec)}
    return {"files": {"file": (filename, content)}, "data": data}


def add_finished(
    database: Database, blobs: Blobs, job_id: str = "job_1", dataset_id: str = "ds_1", **options: Any
) -> DatasetInfo:
    """A completed job over a dataset of its own."""
    info = add_dataset(database, dataset_id, blobs, **options)
    add_job(database, info, job_id)
    finish(database, job_id, info, blobs=blobs)
    return info


def tell_only_the_order(database: Database, job_id: str = "job_1") -> None:
    """The confidence of the suggestions of this job is no probability."""
    with database.write() as connection:
        job = jobs.get(connection, job_id)
        assert job is not None
        jobs.replace_result(connection, job_id, {**(job.result or {}), "confidence": "order"})


def play_rescoring(services: Services, order: Sequence[int], job_id: str = "job_1") -> None:
    """Do to the rescoring that waits what a worker does: the samples of the job get this order, the first ten are flagged."""
    places, count = np.argsort(order), len(order)
    table = pa.table(
        {
            "index": np.arange(count),
            "suggested_label": [CLASSES[(row + 1) % 3] for row in range(count)],
            "suggested_confidence": np.full(count, 0.5),
            "verdict": np.where(places < 10, "mislabeled", "clean"),
            "mislabeled": 1 - places / count,
        }
    )
    with services.database.write() as connection:
        held = rescorings.claim(connection, job_id, "w", LEASE, services.now())
        assert held is not None
        before = services.blobs.ranking(job_id, rescorings.version(connection, job_id))
        ranking_columns.opened(connection, before, job_id).order(connection, job_id, "mislabeled")
        ranking_columns.save_version(services.blobs.ranking(job_id, held.version), before, table, {})
        rescorings.complete(connection, held, 12, 12, services.now())
        rankings.replace_columns(connection, job_id, table)
        job = jobs.get(connection, job_id)
        assert job is not None
        told = {"version": held.version, "samples": 12, "reviews": 12, "at": services.now().isoformat()}
        jobs.replace_result(connection, job_id, {**(job.result or {}), "rescored": told})


def image_zip(names: Sequence[str]) -> bytes:
    """Images in a ZIP, each of its own colour, under these names; metadata.csv says that the folder is the label."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number, name in enumerate(names):
            picture = io.BytesIO()
            Image.new("RGB", (8, 8), (number * 20, 0, 0)).save(picture, "PNG")
            archive.writestr(name, picture.getvalue())
        lines = "".join(f"{name},{name.partition('/')[0]}\n" for name in names)
        archive.writestr("metadata.csv", "file_name,label\n" + lines)
    return packed.getvalue()


def sign_in(database: Database, *, ready: bool = True, now: datetime | None = None) -> None:
    """Let a worker write that it lives, and one of its processes that it can take a job."""
    with database.write() as connection:
        time = now or database_time(connection)
        workers.record_heartbeat(connection, "w", time)
        if ready:
            workers.record_process(connection, WorkerProcess("w/1", "w", "here/0"), time)


def end_leases(database: Database) -> None:
    """Judge every lease that is held now as run out."""
    with database.write() as connection:
        for lease in leases.held(connection):
            assert leases.end(connection, lease, NOON)
