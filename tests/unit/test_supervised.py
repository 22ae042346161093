"""Logs and restarts of the processes of the embedded stack."""

import sys
import time
from pathlib import Path

import pytest

from service.terminal.supervised import Supervised, rotate


def test_a_log_beyond_its_size_becomes_the_first_of_three_old_ones(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as writer:  # as a process that goes on writing
        for number in range(6):
            writer.write(f"{number}\n".encode() * 10)
            rotate(log, largest=15)
    found = {path.name: path.read_text()[:1] for path in tmp_path.iterdir()}
    assert found == {"api.log": "", "api.log.1": "5", "api.log.2": "4", "api.log.3": "3"}


def test_a_log_within_its_size_stays(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    rotate(log)
    log.write_text("x" * 15)
    rotate(log, largest=15)
    assert [path.name for path in tmp_path.iterdir()] == ["api.log"]


def test_the_pause_before_a_restart_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, said = [1000.0], list[str]()
    monkeypatch.setattr("service.terminal.supervised.time.monotonic", lambda: clock[0])
    one = Supervised("api", [sys.executable, "-c", "raise SystemExit(3)"], {}, tmp_path / "api.log")
    one.start()
    for deaths in range(1, 12):
        while len(said) < deaths:
            one.restart_if_ended(said.append)
            time.sleep(0.01)
        assert "the api ended with code 3" in said[-1]
        clock[0] += 29
        one.restart_if_ended(said.append)
        clock[0] += 1
        one.restart_if_ended(said.append)
    pauses = [text.split("restarts in ")[1].split(" s")[0] for text in said]
    assert pauses == ["0.1", "0.2", "0.4", "0.8", "1.6", "3.2", "6.4", "12.8", "25.6", "30", "30"]
    one.stop()
