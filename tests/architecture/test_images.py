"""The images hold what their code needs and nothing private, and run as nobody in particular."""

import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.architecture.container_files import (
    OURS,
    ROOT,
    SERVICES,
    STAGES,
    environment,
    ignore_patterns,
    ignored,
    inherited,
    origins,
    values,
)


def test_the_dockerfile_passes_its_linter() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_stage_comes_from_a_stage_or_a_pinned_image() -> None:
    for stage in set(STAGES) - {""}:
        source = values(stage, "FROM")[0].split()[0]
        assert source in STAGES or ":" in source
    for name in set(SERVICES) - set(OURS):
        assert re.search(r":\d", SERVICES[name]["image"])


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
