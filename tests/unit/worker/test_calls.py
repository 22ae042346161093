"""Calls for help do not hold up the computation that they are for."""

import threading
from contextvars import ContextVar

from worker.process.calls import CallsBeside

PATIENCE_S = 10.0


def test_a_broker_that_does_not_answer_holds_nobody_up_and_is_called_once_at_a_time() -> None:
    answers, begun, sent = threading.Event(), threading.Event(), list[tuple[str, int]]()

    def send(job_id: str, count: int) -> None:
        sent.append((job_id, count))
        begun.set()
        answers.wait(PATIENCE_S)

    call = CallsBeside(send)
    call("job_1", 2)  # returns, though nothing answers
    assert begun.wait(PATIENCE_S)
    call("job_1", 3)
    answers.set()
    assert call._sending is not None
    call._sending.join(PATIENCE_S)
    call("job_2", 1)
    call._sending.join(PATIENCE_S)
    assert sent == [("job_1", 2), ("job_2", 1)]


def test_nobody_is_called_where_none_is_idle() -> None:
    sent = list[tuple[str, int]]()
    call = CallsBeside(lambda job_id, count: sent.append((job_id, count)))
    call("job_1", 0)
    assert call._sending is None
    assert sent == []


def test_a_call_knows_the_request_that_it_is_made_for() -> None:
    known, request = list[str](), ContextVar("request", default="")
    call = CallsBeside(lambda _job_id, _count: known.append(request.get()))
    request.set("request 7")
    call("job_1", 1)
    assert call._sending is not None
    call._sending.join(PATIENCE_S)
    assert known == ["request 7"]
