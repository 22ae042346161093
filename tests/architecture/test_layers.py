"""What may load what; `make check` holds the imports between rooms, this holds what really gets loaded."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from service.domain.models import MODELS
from service.domain.signal import SIGNALS
from service.settings import Settings
from worker.models import BUILDERS
from worker.signals.formulas import FORMULAS

ROOT = Path(__file__).parents[2]
# Imports every module of the packages named by its arguments, and prints the variables that their own code reads.
IMPORT_ALL = """
import importlib, os, pkgutil, sys

read, get = set(), type(os.environ).__getitem__

def watched(environ, key):
    frame = sys._getframe(1)
    while frame.f_globals["__name__"] in ("os", "collections.abc"):
        frame = frame.f_back
    if frame.f_globals["__name__"].split(".")[0] in sys.argv[1:]:
        read.add(key)
    return get(environ, key)

type(os.environ).__getitem__ = watched
for package in map(importlib.import_module, sys.argv[1:]):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
print(*sorted(read))
"""


@dataclass(frozen=True)
class Started:
    """A process after an import: the modules that it has loaded, and their packages, and whether it looks for garbage in them."""

    loaded: frozenset[str]
    is_collecting: bool
    frozen: int


@cache
def started(module: str) -> Started:
    """A process that has imported this module."""
    script = f"import gc, json, sys, {module}; print(json.dumps([sorted(sys.modules), gc.isenabled(), gc.get_freeze_count()]))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    names, is_collecting, frozen = json.loads(done.stdout)
    return Started(frozenset(names) | {name.split(".")[0] for name in names}, is_collecting, frozen)


@pytest.mark.parametrize("module", ["service.main", "service.terminal.cli"])
def test_the_service_starts_without_torch_and_without_the_worker(module: str) -> None:
    loaded = started(module).loaded
    assert "service" in loaded
    assert not loaded & {"torch", "worker", "sklearn", "scipy", "matplotlib"}


@pytest.mark.parametrize(
    ("module", "left_out"),
    [
        # Sign-in alone needs Authlib; who reads uploads loads pandas, which is installed for tests alone, in a process of its own.
        ("service.main", {"authlib", "joserfc", "pandas", "alembic", "openpyxl"}),
        ("service.store.__main__", {"fastapi", "pyarrow", "numpy", "celery", "httpx", "pandas"}),
        ("service.terminal.stack", {"fastapi", "pyarrow", "numpy", "celery", "sqlalchemy", "pandas"}),
        ("service.terminal.cli", {"fastapi", "pyarrow", "numpy", "celery", "sqlalchemy", "pandas"}),
    ],
)
def test_a_process_starts_without_what_it_may_never_need(module: str, left_out: set[str]) -> None:
    assert not started(module).loaded & left_out


@pytest.mark.parametrize("module", ["service.main", "service.ingest.preloaded"])
def test_what_a_long_process_imported_is_no_garbage_to_be_looked_for(module: str) -> None:
    process = started(module)
    assert process.is_collecting
    assert process.frozen > 50_000


def test_a_worker_imports_lightgbm_before_it_forks_and_the_rest_of_a_table_job_once_it_is_ready() -> None:
    script = """
import sys
from worker.process import celery_app
before = {"lightgbm", "sklearn"} & sys.modules.keys()
celery_app._prepare_parent({"concurrency": 1})
parent = {"lightgbm", "sklearn"} & sys.modules.keys()
celery_app._import_beside().join()
print(before, parent, {"lightgbm", "sklearn.ensemble"} & sys.modules.keys() == {"lightgbm", "sklearn.ensemble"}, sep=";")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set();{'lightgbm'};True"


def test_what_the_service_offers_is_what_the_worker_can_do() -> None:
    assert FORMULAS.keys() == SIGNALS.keys()
    assert BUILDERS.keys() == {name for name, model in MODELS.items() if model.training is not None}


# Names that two modules share on purpose: one meaning, one class for each training library.
# A job is one thing: the store has its row, and a client of the service its view.
SHARED = {"TraceCallback", "Job"}
# What the service answers with, as its client has it, under the names of the API; tests of the client hold that they are the same.
OF_THE_API = {"usual_suspects/client/models.py", "usual_suspects/client/errors.py"}


def test_a_public_class_name_has_one_meaning() -> None:
    places: dict[str, list[str]] = {}
    for package in ("service", "worker", "usual_suspects"):
        for path in sorted((ROOT / package).rglob("*.py")):
            place = str(path.relative_to(ROOT))
            if place in OF_THE_API:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(place)
    assert {name: found for name, found in places.items() if len(found) > 1 and name not in SHARED} == {}


def test_the_domain_imports_the_standard_library_and_pydantic_alone() -> None:
    # A list of what is forbidden would miss the next package, so this one lists what is allowed.
    allowed = {*sys.stdlib_module_names, "pydantic"}
    for path in sorted((ROOT / "service/domain").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or "."]
            for name in names:
                assert name.split(".")[0] in allowed or name.startswith("service.domain"), f"{path.name} imports {name}"


def test_nothing_is_read_from_the_environment_at_import() -> None:
    # No setting can be parsed, so that settings built at import raise; a read of any other variable is printed.
    unreadable = {f"SUSPECTS_{name.upper()}": "\udcff" for name in Settings.model_fields}
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    command = [sys.executable, "-c", IMPORT_ALL, *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **unreadable})
    assert (done.stdout, done.stderr) == ("\n", "")
