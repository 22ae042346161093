"""An attempt that was stopped past its lease and goes on leaves the files of the next attempt alone."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from service.domain.review import Decision
from service.settings import Settings
from service.store import evidence, leases, ranking_columns, rescorings, reviews
from service.store.artefact_cache import ArtefactCache
from service.store.artefact_store import ArtefactStore
from service.store.blobs import Blobs
from service.store.engine import open_database
from service.store.rescorings import RescoringClaim
from service.store.seal import check_folder
from service.store.tables import rescorings as rescorings_table
from service.store.tables import suspects
from tests.attempts import do_job
from tests.builders import NOON, add_dataset, add_job
from worker.influence import activations
from worker.job import tasks, trained
from worker.job.context import WorkerContext, remove_parts
from worker.job.ranking import RankingResult, rank
from worker.job.rescoring import claim_next_rescoring, run_rescoring
from worker.job.scoring import score
from worker.machine.devices import CPU

_WITHIN_S = 60.0


def write_evidence(folder: Path) -> None:
    evidence.save(folder, {"loss": np.zeros((3, 2), np.float32)}, [1, 2], "ds_1")


def write_columns(folder: Path) -> None:
    names = ["a", "b", "a"]
    table = {"index": [0, 1, 2], "position": [0, 1, 2], "sample_id": names, "given_label": names}
    table |= {"suggested_label": names, "suggested_confidence": [0.5, 0.25, 0.5], "verdict": ["clean"] * 3}
    ranking_columns.save(folder, pa.table(table | {"mislabeled": [0.5, 0.25, 0.125]}), ["mislabeled"])


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
    do_job("job_1", "undisturbed", context)
    stalled, resumed = threading.Event(), threading.Event()
    first = threading.Thread(target=do_job, args=("job_2", "first", context))
    seen: list[tuple[dict[Path, int], dict[Path, int]]] = []

    def disturbed(*given: Any, **named: Any) -> Any:
        *others, report, begin = given
        scoring: Callable[..., Any] = score
        if threading.current_thread() is first:
            stalled.set()
            assert resumed.wait(_WITHIN_S)
            return scoring(*others, report, begin, **named)
        return scoring(*others, lets_the_first_go_on(report), begin, **named)

    def lets_the_first_go_on(report: Callable[[float], None]) -> Callable[[float], None]:
        def reports(share: float) -> None:
            before = files_of(blobs.job("job_2"))
            if before and not seen:
                resumed.set()
                first.join(_WITHIN_S)
                seen.append((before, files_of(blobs.job("job_2"))))
            report(share)

        return reports

    monkeypatch.setattr(trained, "score", disturbed)
    first.start()
    assert stalled.wait(_WITHIN_S)
    with context.database.write() as connection:
        for held in leases.held(connection):
            leases.end(connection, held, NOON)
    do_job("job_2", "second", context)
    ((before, after),) = seen
    assert not first.is_alive()
    assert before.items() <= after.items()
    assert list(blobs.job("job_2").glob("scratch*")) == []
    assert ranking(context, "job_2") == ranking(context, "job_1") != []
    context.database.close()


def digests(folder: Path) -> dict[str, str]:
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in folder.iterdir()}


def keep(context: WorkerContext, rows: range) -> None:
    kept = [Decision(sample_id=f"row-{row}", decision="keep", label=None) for row in rows]
    with context.database.write() as connection:
        reviews.add(connection, "job_1", kept, "api", NOON)


def claimed(owner: str, context: WorkerContext) -> RescoringClaim:
    claim = claim_next_rescoring(owner, context)
    assert claim is not None
    return claim


def test_files_of_a_rescored_ranking_are_those_of_the_attempt_that_completed_it(
    empty_sqlite: str, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=blobs.home, heartbeat_seconds=100, lease_seconds=400)
    context = WorkerContext(settings, open_database(empty_sqlite), blobs, CPU, lambda: False)
    info = add_dataset(context.database, blobs=blobs, rows=60)
    add_job(context.database, info, "job_1", training={"epochs": 3, "batch_size": 16})
    do_job("job_1", "worker", context)
    keep(context, range(20))
    with context.database.write() as connection:
        rescorings.request(connection, "job_1", 20, NOON)
    stalled, resumed = threading.Event(), threading.Event()
    first = threading.Thread(target=run_rescoring, args=(claimed("first", context), context))
    save = ranking_columns.save_version

    def saves_late(*given: Any) -> None:
        if threading.current_thread() is first:
            stalled.set()
            assert resumed.wait(_WITHIN_S)
        save(*given)

    monkeypatch.setattr(ranking_columns, "save_version", saves_late)
    first.start()
    assert stalled.wait(_WITHIN_S)
    with context.database.write() as connection:
        connection.execute(rescorings_table.update().values(lease_until=NOON))
    keep(context, range(20, 50))  # which the first attempt has not read
    run_rescoring(claimed("second", context), context)
    with context.database.read() as connection:
        folder = rescorings.folder(connection, blobs, "job_1", 1)
    completed = digests(folder)
    resumed.set()
    first.join(_WITHIN_S)
    assert not first.is_alive()
    assert digests(folder) == completed
    assert digests(blobs.ranking("job_1", 1)) != completed  # it has written what nobody reads
    context.database.close()


def test_results_of_the_next_attempt_are_left_alone(
    empty_sqlite: str, blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(home=blobs.home, heartbeat_seconds=100, lease_seconds=400)
    context = WorkerContext(settings, open_database(empty_sqlite), blobs, CPU, lambda: False)
    info = add_dataset(context.database, blobs=blobs, rows=60)
    add_job(context.database, info, "job_1", training={"epochs": 2, "batch_size": 16})
    stalled, resumed = threading.Event(), threading.Event()
    first = threading.Thread(target=do_job, args=("job_1", "first", context))

    def ranks_late(*given: Any) -> RankingResult:
        found = rank(*given)
        if threading.current_thread() is first:
            stalled.set()
            assert resumed.wait(_WITHIN_S)
        return found

    monkeypatch.setattr(tasks, "rank", ranks_late)
    first.start()
    assert stalled.wait(_WITHIN_S)
    with context.database.write() as connection:
        for held in leases.held(connection):
            leases.end(connection, held, NOON)
    do_job("job_1", "second", context)
    recorded = {one: one.stat().st_ino for one in blobs.job("job_1").rglob("*")}
    resumed.set()
    first.join(_WITHIN_S)
    assert not first.is_alive()
    assert {one: one.stat().st_ino for one in blobs.job("job_1").rglob("*")} == recorded
    context.database.close()


def test_a_checkpoint_that_the_next_attempt_writes_is_left_alone(blobs: Blobs) -> None:
    folder = blobs.checkpoints("job_1")
    part = folder / "00002.pt.abcd.part"
    part.touch()
    remove_parts(folder, lambda: False)
    assert part.exists()

    def is_held() -> bool:
        (folder / "00003.pt.abcd.part").touch()  # the next attempt begins just after
        return True

    remove_parts(folder, is_held)
    assert [one.name for one in folder.iterdir()] == ["00003.pt.abcd.part"]


def test_checkpoints_of_another_attempt_are_replaced_by_those_of_the_store_while_the_claim_holds(
    blobs: Blobs, tmp_path: Path
) -> None:
    stored = Blobs(blobs.home, ArtefactCache(blobs.home, ArtefactStore(f"file://{tmp_path / 'store'}"), 2**30))
    folder = stored.checkpoints("job_1")
    for name in ("00001.pt", "00002.pt"):
        (folder / name).touch()
    stored.upload(folder / "00001.pt")
    stored.checkpoints("job_1", lambda: False)
    assert (folder / "00002.pt").exists()
    stored.checkpoints("job_1", lambda: True)
    assert [one.name for one in folder.iterdir()] == ["00001.pt"]


@pytest.mark.parametrize("write", [write_evidence, write_columns])
def test_two_attempts_may_write_the_files_of_a_result_at_once(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], None]
) -> None:
    folder, save = blobs.job("job_1") / "result", np.save
    begun = threading.Event()

    def saves(*given: Any, **options: Any) -> None:
        if not begun.is_set():
            begun.set()
            write(folder)  # the other attempt, from its beginning to its end
        save(*given, **options)

    monkeypatch.setattr(np, "save", saves)
    write(folder)
    check_folder(folder)
    assert [one.name for one in folder.parent.iterdir()] == ["result"]


def test_of_two_attempts_that_put_a_result_in_place_at_once_none_fails(
    blobs: Blobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rename = blobs.job("job_1") / "ranking", Path.rename
    write_columns(folder)
    turns = iter([True])

    def renames(path: Path, target: Path) -> Path:
        if target == folder and next(turns, False):
            write_columns(folder)  # between the two steps of the first
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", renames)
    write_columns(folder)
    check_folder(folder)
    assert [one.name for one in folder.parent.iterdir()] == ["ranking"]
