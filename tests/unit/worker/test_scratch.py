"""Scratch folders of attempts."""

from service.store.blobs import Blobs
from worker.job.context import scratch_of


def test_an_attempt_that_wakes_up_removes_nothing_of_the_next(blobs: Blobs) -> None:
    stalled = scratch_of(blobs, "job_1", "one", lambda: True)
    with stalled as before:
        before.mkdir(parents=True)
        (before / "logits.f4").touch()
        with scratch_of(blobs, "job_1", "two", lambda: True) as scratch:
            assert not before.exists()
            scratch.mkdir(parents=True)
            (scratch / "logits.f4").touch()
            before.mkdir()  # it goes on where it was stopped
            stalled.__exit__(None, None, None)
            assert not before.exists()
            assert (scratch / "logits.f4").exists()
    assert list(blobs.job("job_1").iterdir()) == []


def test_an_attempt_that_wakes_up_before_it_has_tidied_removes_nothing_of_the_next(blobs: Blobs) -> None:
    found = blobs.scratch("job_1", "two")
    found.mkdir(parents=True)
    with scratch_of(blobs, "job_1", "one", lambda: False):
        assert found.exists()
    assert found.exists()


def test_an_attempt_that_fails_leaves_nothing(blobs: Blobs) -> None:
    attempt = scratch_of(blobs, "job_1", "one", lambda: True)
    scratch = attempt.__enter__()
    scratch.mkdir(parents=True)
    error = OSError("no space")
    assert not attempt.__exit__(OSError, error, None)
    assert not scratch.exists()
