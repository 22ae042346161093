"""The public package offers what it says, and loads it when it is needed."""

import json
import subprocess
import sys
from importlib import resources

import pytest

import usual_suspects
from usual_suspects.client import Client
from usual_suspects.recorder import TraceRecorder

HEAVY = {"torch", "httpx", "numpy", "service", "worker", "pydantic", "fastapi"}
PRIVATE = {"service", "worker", "pydantic", "fastapi", "starlette", "sqlalchemy", "httpx", "celery"}


def loaded_by(code: str) -> set[str]:
    """The top-level packages that a fresh process has loaded after it ran the code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.slow
def test_importing_the_package_loads_nothing_else() -> None:
    assert not loaded_by("import usual_suspects") & HEAVY


@pytest.mark.slow
def test_the_client_loads_neither_torch_nor_the_service() -> None:
    loaded = loaded_by("from usual_suspects import Client")
    assert "httpx" in loaded
    assert not loaded & {"torch", "service", "worker", "pydantic", "fastapi"}


@pytest.mark.slow
@pytest.mark.parametrize("module", ["usual_suspects.recorder", "usual_suspects"])
def test_the_recorder_needs_torch_and_numpy_alone(module: str) -> None:
    # Packages that torch itself finds where they are installed are not those of the service.
    loaded = loaded_by(f"from {module} import TraceRecorder")
    assert {"torch", "numpy"} <= loaded
    assert not loaded & PRIVATE


def test_every_public_name_can_be_imported() -> None:
    assert usual_suspects.Client is Client
    assert usual_suspects.TraceRecorder is TraceRecorder
    assert set(usual_suspects.__all__) <= set(dir(usual_suspects))
    for name in usual_suspects.__all__:
        assert getattr(usual_suspects, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Clients'"):
        _ = usual_suspects.Clients


def test_the_package_says_that_it_is_typed() -> None:
    assert resources.files("usual_suspects").joinpath("py.typed").is_file()
