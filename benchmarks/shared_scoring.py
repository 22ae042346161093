"""How much faster two workers of one thread score a large job than one does, and whether the bits are the same.

    python -m benchmarks.shared_scoring [--samples 80000] [--known 8000] [--stack embedded|s3] [--model linear_probe] [--width 128] [--classes 10]

Embeddings with a split of verified samples, on which influence is measured; with `--known 0` without any reference. Real Celery workers with SUSPECTS_THREADS=1: on SQLite and
Valkey with one data folder (`embedded`), or on PostgreSQL, Valkey and S3 with a data folder for each worker (`s3`). Seconds are those
of the scoring phase, as the job tells them. Beside them stand the processor time of the workers over the whole job, and the cores
that everything else on the machine had meanwhile: where others compute too, two workers do not get two cores.
"""

import argparse
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.result_sections import write_sections
from service.settings import Settings
from service.store.artefact_store import ArtefactStore
from service.store.engine import migrate
from tests import servers
from tests.integration.installation import Installation, installed

RESULTS = Path(__file__).parent / "results"
EPOCHS = 8


@dataclass(frozen=True)
class Scored:
    """A job that some workers have done: seconds of scoring; processor seconds of each worker over the whole job, and of all else.

    `others` are the cores that everything else on the machine had meanwhile, this service with its servers among it.
    """

    workers: int
    scoring_s: float
    processor_s: list[float]
    others: float
    ranking: list[dict[str, str]]


def embeddings(samples: int, known: int, width: int, classes: int) -> bytes:
    """Vectors around one centre a class; every tenth label of the training samples is wrong."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, classes, samples + known)
    centres = draw.normal(size=(classes, width))
    vectors = (draw.normal(size=(len(labels), width)) * 2 + centres[labels]).astype(np.float32)
    wrong = draw.uniform(size=len(labels)) < 0.1
    wrong[samples:] = False
    names = np.where(wrong, (labels + 1) % classes, labels)
    packed = io.BytesIO()
    arrays: dict[str, Any] = {"x_train": vectors[:samples], "y_train": names[:samples]}
    if known:
        arrays |= {"x_test": vectors[samples:], "y_test": names[samples:]}
    np.savez(packed, **arrays)
    return packed.getvalue()


@contextmanager
def service_on(stack: str, home: Path, share_seconds: float) -> Iterator[Installation]:
    """An API on servers of its own."""
    with ExitStack() as opened:
        database, artefacts = f"sqlite:///{home / 'suspects.db'}", ""
        if stack == "s3":
            database = opened.enter_context(servers.postgres())
            server = opened.enter_context(servers.s3())
            opened.enter_context(mock.patch.dict(os.environ, server.environment))
            artefacts = "s3://suspects/shared-scoring"
            ArtefactStore(artefacts).probe()
        migrate(database)
        broker = opened.enter_context(servers.valkey())
        settings = Settings(
            home=home / "api",
            database_url=database,
            broker_url=broker,
            artefacts=artefacts,
            share_seconds=share_seconds,
        )
        yield opened.enter_context(installed(settings))


def score(installation: Installation, file: bytes, workers: int, model: str, *, verified: bool) -> Scored:
    """Let some workers do the job."""
    client = installation.client
    with ExitStack() as running:
        processes = []
        for number in range(workers):
            own = installation.settings.home.with_name(f"worker-{number}") if installation.settings.artefacts else None
            processes.append(running.enter_context(installation.worker(own)))
        while (client.get("/readyz").json()["workers"] or {}).get("ready") != workers:
            time.sleep(0.5)
        spec: dict[str, Any] = {
            "dataset": {"modality": "embedding"},
            "model": {"name": model},
            "training": {"epochs": EPOCHS, "learning_rate": 0.01},
        }
        if verified:
            spec["reference"] = {"split": "test"}
        answer = client.post("/jobs", files={"file": ("e.npz", file)}, data={"spec": json.dumps(spec)}, timeout=600)
        job_id = answer.raise_for_status().json()["id"]
        before, busy, began = [_processor_seconds(one.pid) for one in processes], _busy_seconds(), time.monotonic()
        while (job := installation.job(job_id))["state"] != "completed":
            if job["state"] == "failed":
                raise RuntimeError(job["error"])
            time.sleep(1)
        spent = [_processor_seconds(one.pid) - start for one, start in zip(processes, before, strict=True)]
        others = (_busy_seconds() - busy - sum(spent)) / (time.monotonic() - began)
    return Scored(
        workers,
        job["result"]["timings"]["scoring_s"],
        [round(one, 1) for one in spent],
        others,
        installation.ranking(job_id),
    )


def _processor_seconds(group: int) -> float:
    """Of the processes of a group that live."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _busy_seconds() -> float:
    """Of all processors, in user and system mode, and those that the host of a virtual machine gave to others."""
    user, nice, system, _, _, interrupts, soft, stolen = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=80_000)
    parser.add_argument("--known", type=int, default=8_000)
    parser.add_argument("--stack", choices=["embedded", "s3"], nargs="+", default=["embedded", "s3"])
    parser.add_argument("--model", default="linear_probe")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--share-seconds", type=float, default=10.0, help="SUSPECTS_SHARE_SECONDS")
    arguments = parser.parse_args()
    columns = (
        "stack",
        "workers",
        "scoring s",
        "faster",
        "processor s of each worker",
        "cores that others had",
        "same bits",
    )
    known = f"{arguments.known:,} verified" if arguments.known else "no reference"
    kind = f"{arguments.samples:,} embeddings of {arguments.width} numbers, {arguments.classes} classes"
    title = f"{arguments.model}, {kind}, {known}, {EPOCHS} checkpoints"
    if arguments.share_seconds != parser.get_default("share_seconds"):
        title += f", shared from {arguments.share_seconds:g} s on"
    table = Table(*columns, title=title)
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    file = embeddings(arguments.samples, arguments.known, arguments.width, arguments.classes)
    for stack in arguments.stack:
        with (
            tempfile.TemporaryDirectory() as folder,
            service_on(stack, Path(folder), arguments.share_seconds) as installation,
        ):
            first: Scored | None = None
            for workers in [1, 2] * arguments.repeats:
                found = score(installation, file, workers, arguments.model, verified=arguments.known > 0)
                first = first if first is not None and workers == 2 else found
                row = (
                    stack,
                    str(workers),
                    f"{found.scoring_s:.1f}",
                    f"{first.scoring_s / found.scoring_s:.2f}",
                    ", ".join(map(str, found.processor_s)),
                    f"{found.others:.2f}",
                    "yes" if found.ranking == first.ranking else "NO",
                )
                table.add_row(*row)
                lines.append("| " + " | ".join(row) + " |")
                print(*row, file=sys.stderr, flush=True)
    Console(width=140).print(table)
    write_sections(RESULTS / "shared_scoring.md", "Shared scoring", {title: lines})


if __name__ == "__main__":
    main()
