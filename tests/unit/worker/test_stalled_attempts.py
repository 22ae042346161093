"""An attempt that was stopped past its lease and goes on leaves the files of the next attempt alone."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from service.store import leases
from service.store.blobs import Blobs
from service.store.engine import open_database
from service.store.tables import suspects
from tests.builders import add_dataset, add_job
from worker.influence import activations
from worker.job import tasks
from worker.job.context import WorkerContext
from worker.job.scoring import score
from worker.machine.devices import CPU

_WITHIN_S = 60.0


def ranking(context: WorkerContext, job_id: str) -> list[dict[str, Any]]:
    with context.database.read() as connection:
        rows = connection.execute(suspects.select().where(suspects.c.job_id == job_id).order_by(suspects.c.index))
        return [{**row, "job_id": None} for row in rows.mappings()]


def files_of(folder: Path) -> dict[Path, int]:
    return {one: one.stat().st_ino for one in folder.rglob("*.f4")}


def test_scratch_files_are_those_of_one_attempt(
    empty_sqlite: str, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=blobs.home, heartbeat_seconds=100, lease_seconds=400)  # none is renewed meanwhile
    context = WorkerContext(settings, open_database(empty_sqlite), blobs, CPU, lambda: False)
    info = add_dataset(context.database, blobs=blobs, rows=60)
    for job_id in ("job_1", "job_2"):
        add_job(context.database, info, job_id, training={"epochs": 3, "batch_size": 16})
    monkeypatch.setattr(activations, "_IN_MEMORY", 0)
    tasks.run("job_1", "undisturbed", context)
    stalled, resumed = threading.Event(), threading.Event()
    first = threading.Thread(target=tasks.run, args=("job_2", "first", context))
    seen: list[tuple[dict[Path, int], dict[Path, int]]] = []

    def disturbed(*given: Any) -> Any:
        *others, report, begin = given
        scoring: Callable[..., Any] = score
        if threading.current_thread() is first:
            stalled.set()
            assert resumed.wait(_WITHIN_S)
            return scoring(*others, report, begin)
        return scoring(*others, lets_the_first_go_on(report), begin)

    def lets_the_first_go_on(report: Callable[[float], None]) -> Callable[[float], None]:
        def reports(share: float) -> None:
            before = files_of(blobs.job("job_2"))
            if before and not seen:
                resumed.set()
                first.join(_WITHIN_S)
                seen.append((before, files_of(blobs.job("job_2"))))
            report(share)

        return reports

    monkeypatch.setattr(tasks, "score", disturbed)
    first.start()
    assert stalled.wait(_WITHIN_S)
    with context.database.write() as connection:
        for held in leases.held(connection):
            leases.end(connection, held)
    tasks.run("job_2", "second", context)
    ((before, after),) = seen
    assert not first.is_alive()
    assert before.items() <= after.items()
    assert list(blobs.job("job_2").glob("scratch*")) == []
    assert ranking(context, "job_2") == ranking(context, "job_1") != []
    context.database.close()
