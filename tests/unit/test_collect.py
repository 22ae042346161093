"""What nothing needs is removed after a grace time, and nothing else is."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.background.collect import collect
from service.domain.job import JobError
from service.services import Services
from service.store import audit_log, datasets, jobs, rescorings
from service.store.artefact_cache import ArtefactCache
from service.store.artefact_store import ArtefactStore
from service.store.blobs import Blobs
from service.store.jobs import Claim
from tests.builders import LEASE, NOON, add_dataset, add_finished, add_job

OLD = timedelta(hours=25)


def made(path: Path, services: Services, age: timedelta = OLD) -> Path:
    """A file that was changed last so long ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"12345")
    changed = (services.now() - age).timestamp()
    for one in (path, path.parent):
        os.utime(one, (changed, changed))
    return path


def set_to(services: Services, **settings: Any) -> Services:
    return replace(services, settings=services.settings.model_copy(update=settings))


def test_what_no_row_names_goes_once_it_is_old(services: Services) -> None:
    home = services.blobs.home
    add_finished(services.database, services.blobs)
    named = [services.blobs.canonical("ds_1"), services.blobs.evidence("job_1") / "loss.npy"]
    for path in named:
        os.utime(path, (0, 0))
    orphans = [made(home / folder / "id_9" / "file", services) for folder in ("jobs", "datasets", "networks")]
    young = [
        made(home / "jobs" / "job_8" / "old", services),
        made(home / "uploads" / "new.part", services, timedelta(hours=1)),
    ]
    made(home / "jobs" / "job_8" / "new", services, timedelta(hours=1))
    assert collect(services) == 3
    assert [path for path in orphans if path.parent.exists()] == []
    assert [path for path in (*named, *young) if not path.exists()] == []
    assert services.collected.numbers == {"orphan": 3}
    assert services.collected.sizes == {"orphan": 15}


def test_unfinished_work_of_killed_processes_goes_and_that_of_running_jobs_stays(services: Services) -> None:
    blobs = services.blobs
    info = add_finished(services.database, services.blobs)
    add_job(services.database, info, "job_2", services.now())
    with services.database.write() as connection:
        assert jobs.claim(connection, "job_2", "worker", LEASE, services.now()) == Claim("job_2", "worker", 1)
    gone = [
        made(blobs.dataset("ds_1") / ".ingest-1" / "data", services),
        made(blobs.uploads / "1.part", services),
        made(blobs.uploads / ".rewritten-1" / "file", services),
        made(blobs.features / "key.1.part" / "0.npy", services),
        made(blobs.job("job_1") / "scratch" / "logits.f4", services),
        made(blobs.job("job_1") / "ranking.1.part" / "index.npy", services),
    ]
    stays = [
        made(blobs.job("job_2") / "scratch" / "logits.f4", services),
        made(blobs.features / "key" / "0.npy", services),
    ]
    assert collect(services) == len(gone)
    assert [path for path in gone if path.exists()] == []
    assert [path for path in stays if not path.exists()] == []


def test_scratch_files_stay_while_somebody_holds_their_claim(services: Services) -> None:
    blobs, info = services.blobs, add_finished(services.database, services.blobs)
    add_job(services.database, info, "job_2", services.now())
    with services.database.write() as connection:
        jobs.claim(connection, "job_2", "worker", LEASE, services.now())
        rescorings.request(connection, "job_1", 1, services.now())
        rescorings.claim(connection, "job_1", "rescorer", LEASE, services.now())
    held = {"job_1": "rescorer", "job_2": "worker"}
    stay = [made(blobs.scratch(job_id, owner) / "logits.f4", services) for job_id, owner in held.items()]
    gone = [made(blobs.scratch(job_id, "earlier") / "logits.f4", services) for job_id in held]
    gone.append(made(blobs.job("job_1") / "rescoring-1" / "logits.f4", services))
    assert collect(services) == len(gone)
    assert [path for path in gone if path.exists()] == []
    assert [path for path in stay if not path.exists()] == []


@pytest.mark.parametrize("in_store", [False, True])
def test_of_the_files_of_rescorings_those_stay_that_were_completed_or_are_being_written(
    services: Services, tmp_path: Path, *, in_store: bool
) -> None:
    home = services.blobs.home
    add_finished(services.database, services.blobs)
    if in_store:
        store = ArtefactStore(f"file://{tmp_path / 'store'}")
        services = replace(services, blobs=Blobs(home, ArtefactCache(home, store, 2**30)))
    with services.database.write() as connection:
        for version in (1, 2, 3):
            rescorings.request(connection, "job_1", version, services.now())
            rescorings.claim(connection, "job_1", "lost", -LEASE, services.now())
            held = rescorings.claim(connection, "job_1", "next", LEASE, services.now())
            assert held is not None
            if version == 1:
                rescorings.complete(connection, held, 12, 1, services.now())
            elif version == 2:
                rescorings.fail(connection, held, JobError(code="x", detail="y"), services.now())
    place = (tmp_path / "store" if in_store else home) / "jobs" / "job_1"
    stay = [
        made(place / name / "index.npy", services)
        for name in ("ranking", "ranking-first", "ranking-1-2", "ranking-3-2")
    ]
    gone = [
        made(place / name / "index.npy", services) for name in ("ranking-1", "ranking-2", "ranking-2-2", "ranking-3")
    ]
    assert collect(services) == len(gone)
    assert [path for path in gone if path.exists()] == []
    assert [path for path in stay if not path.exists()] == []


def test_checkpoints_of_ended_jobs_are_kept_for_a_time_and_the_rest_for_ever(services: Services) -> None:
    info = add_finished(services.database, services.blobs)  # at NOON, months ago
    add_job(services.database, info, "job_2")
    kept = [services.blobs.model("job_1"), services.blobs.evidence("job_1") / "loss.npy"]
    made(kept[0], services)
    old = made(services.blobs.checkpoints("job_1") / "00001.pt", services)
    running = made(services.blobs.checkpoints("job_2") / "00001.pt", services)
    assert collect(set_to(services, keep_checkpoints_days=0)) == 0
    days = (services.now() - NOON).total_seconds() / 86_400
    assert collect(set_to(services, keep_checkpoints_days=days + 1)) == 0
    assert collect(services) == 1
    assert not old.exists()
    assert [path for path in (running, *kept) if not path.exists()] == []


def test_jobs_and_datasets_stay_unless_they_are_given_a_time(services: Services) -> None:
    info = add_finished(services.database, services.blobs)
    add_dataset(services.database, "ds_2", services.blobs)
    add_job(services.database, info, "job_2")
    assert collect(services) == 0
    # A job that has not ended keeps itself and its dataset.
    assert collect(set_to(services, keep_jobs_days=1, keep_datasets_days=1)) == 2
    with services.database.read() as connection:
        assert [jobs.get(connection, name) is None for name in ("job_1", "job_2")] == [True, False]
        assert [datasets.get(connection, name) is None for name in ("ds_1", "ds_2")] == [False, True]
    assert not services.blobs.job("job_1").exists()
    assert not services.blobs.dataset("ds_2").exists()


def test_the_audit_log_stays_unless_it_is_given_a_time(services: Services) -> None:
    with services.database.write() as connection:
        for days in (40, 20):
            at = services.now() - timedelta(days=days)
            audit_log.add(connection, at=at, project="default", method="POST", path="/jobs", status=200 + days)
    assert collect(services) == 0
    assert collect(set_to(services, keep_audit_log_days=30)) == 1
    assert services.collected.numbers == {"audit_log": 1}
    with services.database.read() as connection:
        assert [one.status for one in audit_log.page(connection)] == [220]


def test_nothing_goes_where_the_database_is_empty_as_another_one_is(services: Services) -> None:
    path = made(services.blobs.home / "jobs" / "job_9" / "file", services)
    assert collect(services) == 0
    assert path.exists()
    add_dataset(services.database)
    assert collect(services) == 1


def test_two_services_do_not_collect_at_once(services: Services) -> None:
    add_dataset(services.database)
    made(services.blobs.home / "jobs" / "job_9" / "file", services)
    with services.database.try_lock("collect") as free:
        assert free
        assert collect(services) == 0
    assert collect(services) == 1


@pytest.mark.parametrize("kind", ["orphan", "unfinished", "checkpoints", "job", "dataset", "audit_log"])
def test_what_was_collected_is_in_the_metrics(client: httpx.Client, services: Services, kind: str) -> None:
    services.collected.add(kind, 7)
    text = client.get("/metrics").text
    assert f'suspects_collected_total{{kind="{kind}"}} 1.0' in text
    assert f'suspects_collected_bytes_total{{kind="{kind}"}} 7.0' in text
