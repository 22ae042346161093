"""The container files refer only to what is there, and keep private what is private."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import sqlalchemy as sa
import yaml
from packaging.requirements import Requirement

from service import main
from service.main.__main__ import options
from service.settings import WORKER_QUEUES, Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
Instruction = tuple[str, str]


def read_stages(text: str) -> dict[str, list[Instruction]]:
    """The instructions of each stage of a Dockerfile, FROM among them, with continued lines joined."""
    stages: dict[str, list[Instruction]] = {}
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    name = ""  # arguments may stand before the first stage
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        keyword, rest = line.strip().split(maxsplit=1)
        if keyword == "FROM":
            name = rest.split()[-1]
        stages.setdefault(name, []).append((keyword, rest))
    return stages


STAGES = read_stages((ROOT / "Dockerfile").read_text())


def values(stage: str, keyword: str) -> list[str]:
    """What stands after a keyword in a stage."""
    return [rest for found, rest in STAGES[stage] if found == keyword]


def origins(stage: str) -> set[str]:
    """The stage and every stage that anything in it comes from."""
    named = {values(stage, "FROM")[0].split()[0]}
    named |= {found for _, rest in STAGES[stage] for found in re.findall(r"(?:--|,)from=([^\s,]+)", rest)}
    return {stage}.union(*(origins(name) for name in named & set(STAGES)))


def inherited(stage: str, keyword: str) -> list[str]:
    """What a keyword says in the stages that a stage is built on, then in itself; a copied file brings none of it."""
    source = values(stage, "FROM")[0].split()[0]
    return (inherited(source, keyword) if source in STAGES else []) + values(stage, keyword)


def environment(stage: str) -> dict[str, str]:
    """The variables that an image sets."""
    return dict(pair.split("=", 1) for rest in inherited(stage, "ENV") for pair in shlex.split(rest))


def command(stage: str) -> list[str]:
    """What an image runs, which must be in exec form: signals would otherwise end at a shell."""
    words: list[str] = json.loads(values(stage, "CMD")[-1])
    return words


def ignored(path: str, patterns: list[str]) -> bool:
    """Whether the builder is not sent a path: the last pattern that matches it, or a folder above it, decides."""
    parts = path.split("/")
    prefixes = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    verdict = False
    for pattern in patterns:
        bare = re.escape(pattern.removeprefix("!")).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        if any(re.fullmatch(bare, prefix) for prefix in prefixes):
            verdict = not pattern.startswith("!")
    return verdict


def ignore_patterns() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_dockerfile_passes_its_linter() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_target_that_compose_builds_is_a_stage() -> None:
    targets = {service["build"]["target"] for service in OURS.values()}
    assert targets == {"service", "worker"}
    assert targets <= set(STAGES)
    assert {service["build"]["context"] for service in OURS.values()} == {"."}


def test_build_arguments_of_compose_are_asked_for() -> None:
    for service in OURS.values():
        asked = {rest.split("=")[0] for stage in origins(service["build"]["target"]) for rest in values(stage, "ARG")}
        assert set(service["build"].get("args", {})) <= asked


def test_every_stage_comes_from_a_stage_or_a_pinned_image() -> None:
    for stage in set(STAGES) - {""}:
        source = values(stage, "FROM")[0].split()[0]
        assert source in STAGES or ":" in source
    for name in set(SERVICES) - set(OURS):
        assert re.search(r":\d", SERVICES[name]["image"])


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
    assert settings.api_keys == {"suspects_api_keys@/:"}
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


# What is made of the sources, and made anew in an image.
_MADE = {"__pycache__", "built", "node_modules"}


@pytest.mark.parametrize("name", ["service", "worker"])
def test_what_is_copied_exists_and_reaches_the_builder(name: str) -> None:
    patterns = ignore_patterns()
    copies = [rest.split()[:-1] for stage in origins(name) for rest in values(stage, "COPY") if "--from" not in rest]
    sources = {source.rstrip("/") for words in copies for source in words}
    assert sources >= {"pyproject.toml", "constraints.txt", "service", "worker"}
    for source in sources:
        assert (ROOT / source).exists()
        files = [path for path in (ROOT / source).rglob("*") if path.is_file() and not _MADE & set(path.parts)]
        for path in [ROOT / source, *files]:
            assert not ignored(str(path.relative_to(ROOT)), patterns), path


@pytest.mark.parametrize(
    "path", [".env", ".git/config", ".venv/bin/python", "tests/conftest.py", ".suspects/suspects.db"]
)
def test_nothing_else_reaches_the_builder(path: str) -> None:
    assert ignored(path, ignore_patterns())
    assert ignored("service/__pycache__/main.cpython-311.pyc", ignore_patterns())


def test_only_the_worker_has_torch() -> None:
    runs = {name: " ".join(run for stage in origins(name) for run in values(stage, "RUN")) for name in STAGES if name}
    assert not re.search(r"torch|\[worker", runs["service"], re.IGNORECASE)
    assert ".[s3,traces]" in runs["service"]
    assert ".[worker,s3,traces]" in runs["worker"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert any(wanted.startswith("torch") for wanted in extras["optional-dependencies"]["worker"])
    assert not any(wanted.startswith("torch") for wanted in extras["dependencies"])


def brought_by(wanted: Iterable[str]) -> set[str]:
    """The packages that an installation of these consists of, by what the packages installed here say of themselves."""
    waiting, seen = [Requirement(text) for text in wanted], set[tuple[str, frozenset[str]]]()
    while waiting:
        one = waiting.pop()
        if (one.name, frozenset(one.extras)) in seen:
            continue
        seen.add((one.name, frozenset(one.extras)))
        for needed in map(Requirement, metadata.requires(one.name) or []):
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *one.extras}):
                waiting.append(needed)
    return {name for name, _ in seen}


def test_the_service_brings_what_speaks_with_the_broker_and_no_torch() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    brought = brought_by(project["dependencies"])
    # Celery leaves these to whoever installs it; the tools of development bring them by chance.
    assert brought_by(["kombu[redis]"]) <= brought
    assert not brought & {"torch", "triton", "scikit-learn", "matplotlib"}


# Imports all modules of a package while others cannot be imported, and prints those that fail.
IMPORT_WITHOUT = """
import importlib, pkgutil, sys

name, *absent = sys.argv[1:]
sys.modules.update(dict.fromkeys(set(absent) - {"pandas"}))


# pyarrow takes None for pandas; transformers asks for the specs of packages, and an error there is no answer.
class NoPandas:
    @staticmethod
    def find_spec(full, path=None, target=None):
        if "pandas" in absent and full == "pandas":
            raise ModuleNotFoundError(full)


sys.meta_path.insert(0, NoPandas)
package, failed = importlib.import_module(name), []
for module in pkgutil.walk_packages(package.__path__, name + "."):
    try:
        importlib.import_module(module.name)
    except ImportError:
        failed.append(module.name)
print(*failed)
"""


@pytest.mark.parametrize(
    ("package", "extras", "needs_more"),
    [
        (
            "service",
            [],
            ["service.terminal.tools.jobs", "service.terminal.tools.server", "service.terminal.tools.verbs"],
        ),  # where the SDK of the Model Context Protocol is, which no image serves
        (
            "usual_suspects",
            [],
            [
                "usual_suspects.client.corrected_sets",
                "usual_suspects.lightning",
                "usual_suspects.recorder",
                "usual_suspects.transformers",
            ],
        ),  # where torch is
        ("usual_suspects", ["worker"], ["usual_suspects.lightning"]),  # for an environment that has Lightning
        ("worker", ["worker"], ["worker.influence.fused_kernels"]),  # for Triton, which comes with a torch for GPUs
    ],
)
def test_an_image_imports_all_of_its_code_with_the_packages_that_it_installs(
    package: str, extras: list[str], needs_more: list[str]
) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in extras for one in project["optional-dependencies"][extra])]
    installed = {re.sub(r"[-_.]+", "-", name).lower() for name in brought_by(wanted)}
    absent = [
        module
        for module, owners in metadata.packages_distributions().items()
        if module.isidentifier() and not installed & {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners}
    ]
    assert "pytest" in absent
    own = {"service", "worker", "docs", "benchmarks", "tests", "usual_suspects"}
    command = [sys.executable, "-c", IMPORT_WITHOUT, package, *sorted(set(absent) - own)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == needs_more


@pytest.mark.parametrize("name", ["service", "worker"])
def test_every_package_is_the_one_that_was_tested(name: str) -> None:
    installs = [run for stage in origins(name) for run in values(stage, "RUN") if " install " in run and "pip " in run]
    assert installs
    assert all("-c constraints.txt" in run or "--no-deps" in run for run in installs)


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


@pytest.mark.parametrize("name", ["service", "worker"])
def test_images_run_as_nobody_in_particular_away_from_uploads(name: str) -> None:
    assert re.fullmatch(r"[1-9]\d*", inherited(name, "USER")[-1])
    assert inherited(name, "WORKDIR")[-1] != environment(name)["SUSPECTS_HOME"]


@pytest.mark.parametrize("name", ["service", "worker"])
def test_images_say_which_version_they_are(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    labels = dict(pair.split("=", 1) for rest in inherited(name, "LABEL") for pair in shlex.split(rest))
    assert labels["org.opencontainers.image.version"] == project["version"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]


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
