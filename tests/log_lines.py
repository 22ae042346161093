"""Reads log lines of a service that runs in a thread of the test."""

import time

import pytest

_SECONDS = 20


def wait_for_line(capsys: pytest.CaptureFixture[str], wanted: str) -> list[str]:
    """All lines on stderr, once one of them holds `wanted`. A request is logged after its answer is sent."""
    read, end = "", time.monotonic() + _SECONDS
    while wanted not in read:
        assert time.monotonic() < end, f"{wanted!r} was not logged; what was: {read}"
        time.sleep(0.01)
        read += capsys.readouterr().err
    return read.splitlines()
