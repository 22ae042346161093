"""`suspects doctor`: what it finds, with and without a service."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.services import Services
from service.store.engine import migrate, open_database
from service.terminal import doctor
from service.terminal.doctor import Finding
from tests.builders import add_dataset, sign_in
from tests.unit.test_cli import Suspects, plain, suspects, table_of, terminal

__all__ = ["suspects", "terminal"]  # fixtures

Examine = Callable[..., dict[str, dict[str, str]]]


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of its own; torch is not started, which takes seconds."""
    monkeypatch.setenv("SUSPECTS_HOME", str(tmp_path / "mine"))
    monkeypatch.delenv("SUSPECTS_DATABASE_URL", raising=False)
    monkeypatch.delenv("SUSPECTS_BROKER_URL", raising=False)
    monkeypatch.setattr(doctor, "_device", lambda _settings: Finding("device", "ok", "cpu"))


@pytest.fixture
def examine(suspects: Suspects) -> Examine:
    """Run it, and give its findings by name."""

    def run(*options: str, code: int) -> dict[str, dict[str, str]]:
        said = suspects(*options, "doctor", "--json")
        assert said.code == code, said
        answer: dict[str, Any] = json.loads(said.out)
        assert answer["faults"] == sum(one["status"] == "fault" for one in answer["items"])
        return {one["check"]: one for one in answer["items"]}

    return run


def test_every_fault_and_note_has_a_cure_and_nothing_is_changed(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUSPECTS_URL", raising=False)
    monkeypatch.setattr("usual_suspects.client.Client.get", _unreachable)
    found = examine(code=0)
    assert {"package", "home", "disk", "database", "broker", "device", "backbones", "service"} <= found.keys()
    assert found["service"]["status"] == "note"
    assert "suspects up" in found["service"]["cure"]
    assert all(bool(one["cure"]) == (one["status"] != "ok") for one in found.values())
    assert not (tmp_path / "mine").exists()


def _unreachable(*_: object, **__: object) -> None:
    from usual_suspects.client import ApiError

    raise ApiError("Cannot reach the service", "refused")


def test_a_service_that_was_named_and_does_not_answer_is_a_fault(examine: Examine) -> None:
    found = examine("--url", "http://127.0.0.1:1", code=1)
    assert found["service"]["status"] == "fault"


def test_a_service_without_a_worker_is_a_fault_until_one_signs_in(suspects: Suspects, services: Services) -> None:
    before = {row["check"]: row for row in table_of(suspects("doctor").out)}
    assert before["service"]["status"] == "ok"
    assert before["service's worker"]["status"] == "fault"
    assert "celery" in before["service's worker"]["cure"]
    sign_in(services.database)
    assert "service's worker" not in suspects("doctor", "-q").out.splitlines()


@pytest.mark.parametrize(
    ("variable", "value", "check"),
    [
        ("SUSPECTS_DATABASE_URL", "postgresql+psycopg://me:hidden@127.0.0.1:1/none", "database"),
        ("SUSPECTS_BROKER_URL", "redis://:hidden@127.0.0.1:1/0", "broker"),
        ("SUSPECTS_HOME", "/dev/null/home", "home"),
    ],
)
def test_what_cannot_be_reached_or_written_is_a_fault_without_its_password(
    examine: Examine, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, check: str
) -> None:
    monkeypatch.setenv(variable, value)
    finding = examine(code=1)[check]
    assert (finding["status"], variable in finding["cure"]) == ("fault", True)
    assert "hidden" not in json.dumps(finding)


def test_an_old_schema_is_a_fault_that_migrating_cures(examine: Examine, tmp_path: Path) -> None:
    import sqlite3

    (tmp_path / "mine").mkdir()
    file = tmp_path / "mine" / "suspects.db"
    migrate(f"sqlite:///{file}")
    assert examine(code=1)["database"]["status"] == "ok"
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    found = examine(code=1)["database"]
    assert (found["status"], found["cure"]) == ("fault", "suspects migrate")


def test_faults_alone_are_printed_with_quiet_and_each_row_for_a_program(suspects: Suspects) -> None:
    rows = table_of(suspects("doctor").out)
    assert {tuple(row) for row in rows} == {("check", "status", "detail", "cure")}
    faults = [row["check"] for row in rows if row["status"] == "fault"]
    assert faults
    assert suspects("doctor", "-q").out.splitlines() == faults


@pytest.mark.usefixtures("terminal")
def test_a_person_sees_the_cure(suspects: Suspects) -> None:
    said = plain(suspects("doctor").out)
    assert "│ fault" in said
    assert "celery --app" in said


@pytest.mark.parametrize(
    ("packages", "folders", "status", "told"),
    [
        (True, [], "ok", ["model auto takes efficientnet_lite0 for images", "all-minilm-l6-v2 for texts"]),
        (False, [], "note", ["trains on images and texts from random weights"]),
        (
            False,
            ["facebook/dinov2-small", "own"],
            "note",
            ["own", "model auto takes facebook/dinov2-small for images", "trains on texts from random weights"],
        ),
    ],
)
def test_it_says_which_pretrained_networks_there_are_and_which_auto_takes(
    examine: Examine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    packages: bool,
    folders: list[str],
    status: str,
    told: list[str],
) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda _name: object() if packages else None)
    monkeypatch.setattr("usual_suspects.client.Client.get", _unreachable)
    monkeypatch.delenv("SUSPECTS_URL", raising=False)
    for name in folders:
        folder = tmp_path / "mine" / "models" / name
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
    found = examine(code=0)["backbones"]
    assert found["status"] == status
    assert [part for part in told if part not in found["detail"]] == []


def test_it_tells_sizes_by_kind_and_what_will_be_removed(examine: Examine, tmp_path: Path) -> None:
    home = tmp_path / "mine"
    for name in (
        "jobs/job_9/checkpoints/1.pt",
        "jobs/job_9/evidence/loss.npy",
        "jobs/job_9/ranking/rank.npy",
        "jobs/job_9/ranking-first/rank.npy",
        "jobs/job_9/ranking-2/rank.npy",
        "datasets/ds_9/data.parquet",
        "logs/api.log",
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(bytes(2048))
    migrate(f"sqlite:///{home / 'suspects.db'}")
    found = examine(code=1)
    for told in ("datasets 2 KiB", "checkpoints 2 KiB", "evidence 2 KiB", "rankings 6 KiB", "logs 2 KiB", "database "):
        assert told in found["files"]["detail"]
    assert found["leftovers"]["status"] == "ok"
    for path in home.rglob("*"):
        os.utime(path, (0, 0))
    database = open_database(f"sqlite:///{home / 'suspects.db'}")
    add_dataset(database)
    database.close()
    found = examine(code=1)
    assert (found["leftovers"]["status"], found["leftovers"]["detail"]) == (
        "note",
        "orphan jobs 10 KiB, orphan datasets 2 KiB",
    )
    assert "recent leftovers" not in found
    assert (home / "jobs" / "job_9").exists()


def test_it_tells_what_will_be_removed_later_apart_from_what_is_removed_now(examine: Examine, tmp_path: Path) -> None:
    home = tmp_path / "mine"
    for name, size, age in (
        ("jobs/old", 1, 90_000),
        ("jobs/new", 2, 60),
        ("datasets/new", 3, 60),
        ("uploads/new", 4, 60),
    ):
        (home / name).mkdir(parents=True)
        (home / name / "file").write_bytes(bytes(size * 1024))
        changed = time.time() - age
        for path in (home / name, home / name / "file"):
            os.utime(path, (changed, changed))
    migrate(f"sqlite:///{home / 'suspects.db'}")
    database = open_database(f"sqlite:///{home / 'suspects.db'}")
    add_dataset(database)
    database.close()
    found = examine(code=1)
    assert found["leftovers"]["detail"] == "orphan jobs 1 KiB"
    told, _, when = found["recent leftovers"]["detail"].partition(": ")
    assert told == "unfinished uploads 4 KiB, orphan datasets 3 KiB, orphan jobs 2 KiB"
    assert "24 h" in when


@pytest.mark.parametrize(("place", "status"), [("{}/store", "ok"), ("/dev/null/store", "fault")])
def test_the_artefact_store_is_written_where_one_is_set(
    examine: Examine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, status: str
) -> None:
    monkeypatch.setenv("SUSPECTS_ARTEFACTS", f"file://{place.format(tmp_path)}")
    monkeypatch.delenv("SUSPECTS_URL", raising=False)
    monkeypatch.setattr("usual_suspects.client.Client.get", _unreachable)
    found = examine(code=0 if status == "ok" else 1)["artefacts"]
    assert (found["status"], bool(found["cure"])) == (status, status == "fault")
    assert "file://" in found["detail"]
