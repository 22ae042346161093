"""The container files refer only to what is there."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
STAGES = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))


def stage(name: str) -> str:
    """The lines of one stage of the Dockerfile."""
    return re.split(r"^FROM ", DOCKERFILE.split(f" AS {name}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_the_dockerfile_passes_its_linter() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert linter is not None
    done = subprocess.run([linter, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_target_that_compose_builds_is_a_stage() -> None:
    targets = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    assert targets == {"service", "worker"}
    assert targets <= STAGES


def test_every_stage_builds_on_a_stage_or_an_image() -> None:
    bases = re.findall(r"^FROM (\S+) AS", DOCKERFILE, re.MULTILINE)
    assert {base for base in bases if ":" not in base} <= STAGES
    assert set(re.findall(r"--from=(\S+)", DOCKERFILE)) <= STAGES


def test_every_variable_that_is_set_is_a_setting() -> None:
    known = {f"SUSPECTS_{name.upper()}" for name in Settings.model_fields}
    used = set(re.findall(r"SUSPECTS_[A-Z_]+", DOCKERFILE))
    for service in SERVICES.values():
        used |= {name for name in service.get("environment", {}) if name.startswith("SUSPECTS_")}
    assert used >= {"SUSPECTS_HOME", "SUSPECTS_DATABASE_URL", "SUSPECTS_BROKER_URL", "SUSPECTS_API_KEYS"}
    assert used <= known


def test_who_is_waited_for_says_when_it_is_healthy() -> None:
    waited = [name for service in SERVICES.values() for name in service.get("depends_on", {})]
    assert set(waited) == {"api", "postgres", "redis"}
    assert all("healthcheck" in SERVICES[name] for name in waited)


def test_every_named_volume_is_declared() -> None:
    mounted = {mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", [])}
    assert mounted == set(COMPOSE["volumes"])


def test_api_and_worker_see_the_same_files() -> None:
    homes = {SERVICES[name]["environment"]["SUSPECTS_HOME"] for name in ("api", "worker")}
    assert homes == {"/data"}
    assert all("home:/data" in SERVICES[name]["volumes"] for name in ("api", "worker"))


def test_the_api_alone_is_published_and_workers_can_be_scaled() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]
    assert "container_name" not in SERVICES["worker"]


@pytest.mark.parametrize("name", ["SUSPECTS_API_KEYS", "POSTGRES_PASSWORD"])
def test_a_secret_that_is_not_set_is_an_error_and_never_a_default(name: str) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    uses = re.findall(r"\$\{" + name + r"([^}]*)\}", text)
    assert uses
    assert all(use.startswith(":?") for use in uses)


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources: set[str] = set()
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        sources |= set(line.split()[:-1])
    assert sources <= kept
    assert all((ROOT / source).exists() for source in sources)


def test_the_service_image_has_no_torch() -> None:
    assert "[worker]" in stage("build-worker")
    assert "[" not in re.sub(r"\$\{[^}]*\}", "", stage("build"))
    assert "[" not in stage("build-service")
    assert "build-service /opt/venv" in stage("service")


def test_commands_name_modules_that_exist() -> None:
    assert '"service.main:create_app"' in stage("service")
    assert '"worker.app"' in stage("worker")
    assert (ROOT / "service" / "main.py").exists()
    assert (ROOT / "worker" / "app.py").exists()
