"""A process and its GPU: one that a GPU refuses ends, and one that rests holds nothing. Stand-ins for the GPU; not run on a card."""

import gc
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import torch
from torch import Tensor

from service.domain.job import State
from service.settings import Settings
from service.store import jobs, rescorings
from service.store.blobs import Blobs
from service.store.engine import open_database
from tests.attempts import do_job
from tests.builders import NOON, add_dataset, add_job
from worker.job import rescoring, tasks
from worker.job.context import WorkerContext
from worker.machine import cuda_graphs
from worker.machine.devices import CPU, free_unused
from worker.machine.gpu_health import still_computes
from worker.process import celery_app

GPU = torch.device("cuda:1")
DEAD = RuntimeError("CUDA error: an illegal memory access was encountered")
FULL = torch.OutOfMemoryError("CUDA out of memory")


@dataclass
class Card:
    """A stand-in: what is asked of it, and what it answers."""

    calls: list[str]
    answer: Exception | None = None

    def ones(self, *sizes: int, device: torch.device = CPU) -> Tensor:
        if device == CPU:
            return torch.full(sizes, 1.0)
        self.calls.append(f"compute on {device}")
        if self.answer is not None:
            raise self.answer
        return torch.full((1,), 1.0)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    found = Card([])
    monkeypatch.setattr(torch, "ones", found.ones)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: found.calls.append(f"set {device}"))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: found.calls.append("empty the cache"))
    monkeypatch.setattr(celery_app, "_FORK_AGAIN_S", 0.0)
    monkeypatch.setattr(cuda_graphs, "_failed", set())
    return found


@pytest.fixture
def context(empty_sqlite: str, blobs: Blobs) -> WorkerContext:
    """A worker of a GPU, with a job that waits."""
    settings = Settings(home=blobs.home, max_attempts=2)
    found = WorkerContext(settings, open_database(empty_sqlite), blobs, GPU, lambda: False)
    add_job(found.database, add_dataset(found.database, blobs=blobs, rows=6), "job_2")
    return found


def failing(error: Exception) -> Callable[..., NoReturn]:
    def fail(*_given: object, **_options: object) -> NoReturn:
        raise error

    return fail


@pytest.mark.parametrize(("answer", "computes"), [(None, True), (FULL, True), (DEAD, False)])
def test_a_gpu_without_room_still_computes_and_one_that_refuses_does_not(
    card: Card, answer: Exception | None, computes: bool
) -> None:
    card.answer = answer
    assert still_computes(GPU) is computes
    assert still_computes(CPU)
    assert card.calls == [f"compute on {GPU}"]


def test_a_job_that_a_gpu_stopped_is_tried_again_as_often_as_one_whose_workers_are_lost(
    monkeypatch: pytest.MonkeyPatch, card: Card, context: WorkerContext
) -> None:
    monkeypatch.setattr(tasks, "_compute", failing(DEAD))
    card.answer = DEAD
    seen = []
    for attempt in range(2):
        do_job("job_2", f"worker {attempt}", context)
        with context.database.read() as connection:
            job = jobs.get(connection, "job_2")
        assert job is not None
        seen.append((job.state, job.attempts, None if job.error is None else job.error.code))
    assert seen == [(State.QUEUED, 1, None), (State.FAILED, 2, "worker_lost")]


@pytest.mark.parametrize(("error", "code"), [(DEAD, "internal"), (FULL, "out_of_memory")])
def test_a_job_that_fails_on_a_sound_gpu_fails_at_once(
    monkeypatch: pytest.MonkeyPatch, card: Card, context: WorkerContext, error: Exception, code: str
) -> None:
    monkeypatch.setattr(tasks, "_compute", failing(error))
    do_job("job_2", "worker", context)
    with context.database.read() as connection:
        job = jobs.get(connection, "job_2")
    assert job is not None
    assert job.error is not None
    assert (job.state, job.error.code) == (State.FAILED, code)
    assert card.calls


@pytest.mark.parametrize(("answer", "state"), [(DEAD, "running"), (None, "failed")])
def test_a_rescoring_that_a_gpu_stopped_waits_for_another_process(
    monkeypatch: pytest.MonkeyPatch, card: Card, context: WorkerContext, answer: Exception | None, state: str
) -> None:
    with context.database.write() as connection:
        rescorings.request(connection, "job_2", 20, NOON)
    monkeypatch.setattr(rescoring, "_rescore", failing(DEAD))
    card.answer = answer
    claim = rescoring.claim_next_rescoring("worker", context)
    assert claim is not None
    rescoring.run_rescoring(claim, context)
    with context.database.read() as connection:
        latest = rescorings.latest(connection, "job_2")
    assert latest is not None
    assert latest.state == state


@pytest.fixture
def task(monkeypatch: pytest.MonkeyPatch, context: WorkerContext) -> Callable[[], None]:
    """A task of Celery, which computes nothing."""
    monkeypatch.setattr(celery_app, "worker_context", lambda: context)
    monkeypatch.setattr(celery_app, "current_task", SimpleNamespace(request={}))

    def run() -> None:
        with celery_app._known_as("job", "job_2"):
            pass

    return run


def test_after_a_task_the_memory_of_the_gpu_is_given_back(card: Card, task: Callable[[], None]) -> None:
    task()
    assert card.calls == [f"compute on {GPU}", "empty the cache"]


def test_a_process_ends_after_the_task_in_which_its_gpu_stopped(card: Card, task: Callable[[], None]) -> None:
    card.answer = DEAD
    with pytest.raises(SystemExit) as ended:
        task()
    assert ended.value.code == 1
    assert card.calls == [f"compute on {GPU}"], "nothing more is asked of it"


def test_a_process_ends_after_the_task_in_which_a_recording_failed(
    monkeypatch: pytest.MonkeyPatch, card: Card, task: Callable[[], None]
) -> None:
    monkeypatch.setattr(cuda_graphs, "_failed", {GPU})
    with pytest.raises(SystemExit) as ended:
        task()
    assert ended.value.code == 0
    assert card.calls == [], "its allocator would refuse"


def test_a_processor_is_left_as_it_is(card: Card, context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(celery_app, "current_task", SimpleNamespace(request={}))
    monkeypatch.setattr(celery_app, "worker_context", lambda: replace(context, device=CPU))
    with celery_app._known_as("job", "job_2"):
        pass
    free_unused(CPU)
    assert card.calls == []


def test_what_a_task_leaves_in_circles_is_freed_before_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    order = list[str]()

    class Circle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            order.append("freed")

    Circle()
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: order.append("empty the cache"))
    free_unused(GPU)
    assert order == ["freed", "empty the cache"]


@pytest.fixture
def prepare(monkeypatch: pytest.MonkeyPatch, context: WorkerContext) -> Callable[[], None]:
    """The preparation of a forked process, of which only its device is real."""
    monkeypatch.setattr(celery_app, "worker_context", lambda: context)
    monkeypatch.setattr(celery_app, "settings", lambda: context.settings)
    monkeypatch.setattr(celery_app, "fix_arithmetic", lambda **_options: None)
    monkeypatch.setattr(torch, "set_num_threads", lambda _count: None)
    monkeypatch.setattr(celery_app, "process_presence", lambda *_arguments: "ready")
    monkeypatch.setattr(celery_app, "_presences", [])

    def run() -> None:
        celery_app._prepare_process()

    return run


def test_a_process_computes_on_its_own_gpu_before_it_is_ready(card: Card, prepare: Callable[[], None]) -> None:
    prepare()
    assert card.calls == [f"set {GPU}", f"compute on {GPU}"]
    assert list(map(str, celery_app._presences)) == ["ready"]


@pytest.mark.parametrize("refuses", ["to be set", "to compute"])
def test_a_process_whose_gpu_does_not_compute_takes_no_task(
    monkeypatch: pytest.MonkeyPatch, card: Card, prepare: Callable[[], None], refuses: str
) -> None:
    if refuses == "to be set":
        monkeypatch.setattr(torch.cuda, "set_device", failing(DEAD))
    else:
        card.answer = DEAD
    # Celery goes on after any other error of its signal's receivers.
    with pytest.raises(SystemExit):
        prepare()
    assert not celery_app._presences


def test_the_parent_of_the_processes_asks_nothing_of_a_gpu(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[str]()

    def seen(name: str) -> Callable[..., Any]:
        return lambda *_given, **_options: asked.append(name)

    for name in ("is_available", "device_count", "_lazy_init"):
        monkeypatch.setattr(torch.cuda, name, seen(name))
    monkeypatch.setattr(gc, "freeze", lambda: None)
    celery_app._prepare_parent(options={"concurrency": 2})
    assert asked == card.calls == []
