"""All phases of schemathesis against a running service: examples, coverage, drawn requests, and chains of requests."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from service.services import Services
from service.settings import Settings
from tests.builders import add_finished, add_job, form, image_zip, sign_in
from tests.described import described

_EXAMPLES = int(os.environ.get("TEST_FUZZ_EXAMPLES", "1"))  # for each operation; `make fuzz` asks for more
_CHAINS = 10  # times as many; each is of six requests or fewer
_REPORTS = os.environ.get("TEST_FUZZ_REPORTS")  # a folder, in which `make fuzz` counts what was asked
_PHASES = ("examples", "coverage", "fuzzing", "stateful")
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "use_after_free",
    "ensure_resource_availability",
)
# Keys that are made and revoked here must not end the run. A service without workers says 503 when it is asked whether it is ready.
_KEY = "key-of-the-fuzzer"
_CONFIG = """
[[operations]]
include-path = "/readyz"
checks.not_a_server_error.expected-statuses = ["2xx", "4xx", "503"]
"""


@pytest.fixture
def settings(settings: Settings, empty_postgres: str) -> Settings:
    """On PostgreSQL, which forgives less."""
    return settings.model_copy(
        update={"database_url": empty_postgres, "api_keys": frozenset({_KEY}), "wrong_key_limit": 0}
    )


@pytest.mark.parametrize("phase", _PHASES)
def test_every_answer_of_a_phase_is_as_described(
    phase: str, client: httpx.Client, services: Services, server: str, tmp_path: Path
) -> None:
    client.headers["Authorization"] = f"Bearer {_KEY}"
    info = add_finished(services.database, services.blobs)
    add_job(services.database, info, "job_2")
    sign_in(services.database)
    images = form(image_zip(["a/1.png", "b/1.png"]), "images.zip", {"id": "file_name"})
    client.post("/datasets", **images).raise_for_status()
    (tmp_path / "openapi.json").write_text(json.dumps(described()))
    (tmp_path / "schemathesis.toml").write_text(_CONFIG)
    report = (Path(_REPORTS) if _REPORTS else tmp_path) / f"{phase}.json"
    report.parent.mkdir(parents=True, exist_ok=True)
    examples = _EXAMPLES * _CHAINS if phase == "stateful" else _EXAMPLES
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", "openapi.json", "--url", server, "--header", f"Authorization: Bearer {_KEY}",
        "--phases", phase, "--checks", ",".join(_CHECKS), "--max-examples", str(examples), "--seed", "1", "--continue-on-failure", "--no-shrink",
        "--exclude-path-regex", "events$", "--suppress-health-check", "all", "--request-timeout", "30",
        "--report", "json", "--report-json-path", str(report),
    ]  # fmt: skip
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-20_000:]
    assert json.loads(report.read_text())["test_cases"]["generated"] > 0
