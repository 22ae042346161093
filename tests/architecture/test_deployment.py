"""The compose file refers only to what is there, and keeps private what is private."""

import importlib.util
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import sqlalchemy as sa

from service import main
from service.main.__main__ import options
from service.settings import WORKER_QUEUES, Settings
from tests.architecture.container_files import (
    COMPOSE,
    OURS,
    ROOT,
    SERVICES,
    STAGES,
    command,
    environment,
    ignore_patterns,
    ignored,
    inherited,
    origins,
    values,
)


def test_every_target_that_compose_builds_is_a_stage() -> None:
    targets = {service["build"]["target"] for service in OURS.values()}
    assert targets == {"service", "worker"}
    assert targets <= set(STAGES)
    assert {service["build"]["context"] for service in OURS.values()} == {"."}


def test_build_arguments_of_compose_are_asked_for() -> None:
    for service in OURS.values():
        asked = {rest.split("=")[0] for stage in origins(service["build"]["target"]) for rest in values(stage, "ARG")}
        assert set(service["build"].get("args", {})) <= asked


def test_every_variable_that_is_set_is_a_setting() -> None:
    known = {f"SUSPECTS_{name.upper()}" for name in Settings.model_fields}
    used = set(re.findall(r"SUSPECTS_[A-Z_]+", (ROOT / "Dockerfile").read_text()))
    for service in OURS.values():
        used |= {name for name in service["environment"] if name.startswith("SUSPECTS_")}
    assert used >= {"SUSPECTS_HOME", "SUSPECTS_DATABASE_URL", "SUSPECTS_BROKER_URL", "SUSPECTS_SECRETS"}
    assert used <= known


def test_api_and_worker_use_one_database_and_one_broker() -> None:
    for variable in ("SUSPECTS_DATABASE_URL", "SUSPECTS_BROKER_URL"):
        (url,) = {service["environment"][variable] for service in OURS.values()}
        host = re.search(r"(?://|@)(\w+):\d+/", url)
        assert host is not None
        assert host.group(1) in set(SERVICES) - set(OURS)
    settings = Settings.model_validate({"database_url": OURS["api"]["environment"]["SUSPECTS_DATABASE_URL"]})
    assert settings.database.startswith("postgresql+psycopg://suspects@")


def test_who_is_waited_for_says_when_it_is_healthy() -> None:
    waited = {name: waits for service in SERVICES.values() for name, waits in service.get("depends_on", {}).items()}
    assert set(waited) == {"api", "postgres", "redis"}
    assert {waits["condition"] for waits in waited.values()} == {"service_healthy"}
    for name, service in SERVICES.items():
        assert "healthcheck" in service or values(service["build"]["target"], "HEALTHCHECK"), name


def test_every_named_volume_is_declared() -> None:
    mounted = {mount.split(":")[0] for service in SERVICES.values() for mount in service["volumes"]}
    assert mounted == set(COMPOSE["volumes"])


def test_api_and_worker_see_the_same_files() -> None:
    homes = {environment(service["build"]["target"])["SUSPECTS_HOME"] for service in OURS.values()}
    assert len(homes) == 1
    for service in OURS.values():
        assert service["volumes"] == [f"home:{homes.copy().pop()}"]
        assert "SUSPECTS_HOME" not in service["environment"]


def test_the_api_alone_is_published_and_on_loopback_unless_told_otherwise() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]
    (port,) = SERVICES["api"]["ports"]
    words = command("service")
    assert port == "${API_ADDRESS:-127.0.0.1:8000}:" + words[words.index("--port") + 1]
    assert values("service", "EXPOSE") == [words[words.index("--port") + 1]]


def test_services_can_be_scaled() -> None:
    for service in SERVICES.values():
        assert "container_name" not in service
        assert "hostname" not in service


def test_secrets_are_files_that_must_be_there_and_that_the_settings_are_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets: dict[str, dict[str, str]] = COMPOSE["secrets"]
    assert secrets == {name: {"file": f"${{SECRETS:-./secrets}}/{name}"} for name in secrets}
    for name, service in SERVICES.items():
        assert set(service["secrets"]) <= set(secrets), name
        # Keys for secrets at rest are made in `home` unless somebody brings some, so that no file can be required.
        given = {one for one in service.get("environment", {}) if re.search(r"KEYS$|PASSWORD$", one)}
        assert given <= {"SUSPECTS_SECRET_KEYS"}, name
    for name in secrets:
        (tmp_path / name).write_text(f"{name}@/:\n")
    for service in OURS.values():
        for name, value in service["environment"].items():
            if value is not None:
                monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("SUSPECTS_SECRETS", str(tmp_path))
    settings = Settings()
    assert settings.api_keys == ("suspects_api_keys@/:",)
    assert sa.make_url(settings.database).password == "suspects_database_password@/:"
    assert unquote(urlsplit(settings.broker_url).password or "") == "suspects_broker_password@/:"
    assert ignored("secrets/suspects_api_keys", ignore_patterns())
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()


def test_every_setting_can_be_set_and_every_service_is_bounded() -> None:
    files = {name.upper() for name in COMPOSE["secrets"]}
    images = {name for target in ("service", "worker") for name in environment(target)}
    wanted = {f"SUSPECTS_{name.upper()}" for name in Settings.model_fields}
    for service in OURS.values():
        assert wanted <= files | images | set(service["environment"])
    for name, service in SERVICES.items():
        assert {"memory", "pids"} <= set(service["deploy"]["resources"]["limits"]), name


def test_every_variable_of_others_that_docs_name_is_handed_on() -> None:
    named = set(re.findall(r"`((?:AWS|OTEL|FORWARDED|HF)_[A-Z_]+)`", (ROOT / "docs" / "production.md").read_text()))
    assert {"OTEL_EXPORTER_OTLP_ENDPOINT", "FORWARDED_ALLOW_IPS", "AWS_PROFILE"} <= named
    for name, service in OURS.items():
        assert named <= set(service["environment"]) | {"HF_HUB_OFFLINE"}, name


def test_only_what_the_api_and_the_workers_reach_is_on_the_inner_network() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name, service in SERVICES.items():
        assert service["networks"] == (["inside", "outside"] if name in OURS else ["inside"]), name


def test_workers_on_gpus_are_asked_for() -> None:
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"worker-gpu"}
    (device,) = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert device["count"] == "all"
    # Its image has the default build of torch, with CUDA, whatever index that of the other worker names.
    assert "args" not in SERVICES["worker-gpu"]["build"]


def test_a_worker_on_gpus_has_a_process_for_each_in_one_container() -> None:
    ran, image = SERVICES["worker-gpu"]["command"], command("worker")
    replaced = {
        image.index("--concurrency") + 1: "${GPUS:-1}",
        image.index("--queues") + 1: f"${{GPU_QUEUES:-{WORKER_QUEUES}}}",
    }
    assert ran == [replaced.get(place, word) for place, word in enumerate(image)]
    # Processes are counted within a container.
    assert "replicas" not in SERVICES["worker-gpu"]["deploy"]
    shown = (ROOT / "docs" / "production.md").read_text()
    commands = [
        line for line in shown.splitlines() if line.endswith("docker compose --profile gpu up --build --scale worker=0")
    ]
    assert [
        dict(pair.split("=") for pair in line.split(" docker")[0].split() if "=" in pair).get("GPUS")
        for line in commands
    ] == [None, "4"]
    assert "scale worker-gpu=" not in shown


def test_commands_name_what_exists() -> None:
    api = command("service")
    assert api[:3] == ["python", "-m", main.__name__]
    # Processes that read uploads import a main module again, unless it has this name.
    assert importlib.util.find_spec(f"{main.__name__}.__main__") is not None
    assert options(api[3:]).host == "0.0.0.0"
    worker = command("worker")
    queues = worker.index("--queues") + 1
    assert SERVICES["worker"]["command"] == [
        *worker[:queues],
        f"${{WORKER_QUEUES:-{worker[queues]}}}",
        *worker[queues + 1 :],
    ]
    assert worker[:2] == ["celery", "--app"]
    assert importlib.util.find_spec(worker[2]) is not None
    assert worker[queues] == WORKER_QUEUES


def test_the_broker_keeps_its_messages() -> None:
    words = SERVICES["redis"]["command"][-1].split("/tmp/password.conf")[-1].split()
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert options == {"--appendonly": "yes", "--maxmemory-policy": "noeviction"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_container_may_be_stopped_while_it_starts(name: str) -> None:
    assert OURS[name]["init"]
    target = OURS[name]["build"]["target"]
    assert command(target)
    assert not inherited(target, "ENTRYPOINT")


def test_everything_comes_back_after_a_restart_and_bounds_its_logs() -> None:
    for service in SERVICES.values():
        assert service["restart"] == "unless-stopped"
        assert {"max-size", "max-file"} <= set(service["logging"]["options"])


def test_the_database_has_connections_for_twenty_workers() -> None:
    (limit,) = (int(word.split("=")[1]) for word in SERVICES["postgres"]["command"] if "max_connections" in word)
    assert limit >= 40 + 20 * 4
