"""What the process that is forked for each upload has imported before it."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from service.ingest import confined
from service.services import Services
from tests.unit.api.downloads import corrected, downloaded, uploaded

# Does what the forked process does, and says which modules it had to import for it.
_READ = """
import json, pickle, sys
import service.ingest.preloaded
before = set(sys.modules)
found = pickle.load(sys.stdin.buffer).found()
print(json.dumps([found, sorted(set(sys.modules) - before)]))
"""
CSV = b"size,port\n" + b"".join(b"%d,%s\n" % (row, (b"Oslo", b"Bergen")[row % 2]) for row in range(18))


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Modules that processes which read an upload imported after they had been begun."""
    late: list[str] = []

    def read(reading: Any, _confinement: object, _check: Callable[[], None]) -> Any:
        given = pickle.dumps(reading)
        done = subprocess.run([sys.executable, "-c", _READ], input=given, capture_output=True, check=True)
        found, modules = json.loads(done.stdout)
        late.extend(modules)
        return found

    monkeypatch.setattr(confined, "_read_apart", read)
    return late


def test_reading_and_correcting_an_upload_imports_nothing_of_the_service_anew(
    client: httpx.Client, services: Services, imported: list[str]
) -> None:
    info = uploaded(client, CSV, "ports.csv", label="port")
    version = corrected(client, services, info["id"], {"row-2": "Bergen"})
    assert downloaded(client, version["id"]) == CSV.replace(b"2,Oslo", b"2,Bergen", 1)
    assert [name for name in imported if name.startswith(("service", "sqlalchemy", "celery", "redis"))] == []
