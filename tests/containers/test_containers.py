"""The images and the compose file hold what they promise when they run: API, two workers, PostgreSQL, Valkey and S3."""

import io
import json
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from sklearn.datasets import make_classification

from tests.containers.installation import WORKERS, Installation, installation

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

_ROWS, _WRONG, _CLASSES = 3000, 150, 3
_COMPLETED_WITHIN_S = 180.0
_OURS = ("api", "worker")


@pytest.fixture(scope="module")
def running() -> Iterator[Installation]:
    with installation() as found:
        yield found


def _table() -> tuple[bytes, set[str]]:
    """A labelled CSV, and the ids of the rows whose label was made wrong."""
    drawn = make_classification(_ROWS, 12, n_informative=8, n_classes=_CLASSES, class_sep=1.6, random_state=3)
    values, labels = drawn
    random = np.random.default_rng(0)
    wrong = random.choice(_ROWS, _WRONG, replace=False)
    labels[wrong] = (labels[wrong] + random.integers(1, _CLASSES, _WRONG)) % _CLASSES
    text = io.StringIO()
    text.write("id," + ",".join(f"x{column}" for column in range(values.shape[1])) + ",label\n")
    for row, (numbers, label) in enumerate(zip(values, labels, strict=True)):
        text.write(f"r{row}," + ",".join(f"{number:.4f}" for number in numbers) + f",c{label}\n")
    return text.getvalue().encode(), {f"r{row}" for row in wrong}


def _submit(client: httpx.Client, epochs: int | None = None) -> str:
    content, _ = _table()
    spec = {} if epochs is None else {"training": {"epochs": epochs}}
    answer = client.post("/jobs", files={"file": ("train.csv", content)}, data={"spec": json.dumps(spec)})
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def _completed(client: httpx.Client, job_id: str) -> dict[str, object]:
    deadline = time.monotonic() + _COMPLETED_WITHIN_S
    while time.monotonic() < deadline:
        job: dict[str, object] = client.get(f"/jobs/{job_id}").json()
        if job["state"] in {"completed", "failed"}:
            assert job["state"] == "completed", job
            return job
        time.sleep(0.3)
    raise AssertionError(f"{job_id} is not completed after {_COMPLETED_WITHIN_S:.0f} s")


def _ranking(client: httpx.Client, job_id: str) -> list[str]:
    """The lines of the whole ranking, every number included."""
    answer = client.get(f"/jobs/{job_id}/suspects", headers={"Accept": "application/x-ndjson"})
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.text.splitlines()


def _runner(running: Installation, job_id: str) -> str:
    """The container that works on a job, as its log tells."""
    deadline = time.monotonic() + _COMPLETED_WITHIN_S
    while time.monotonic() < deadline:
        for name in running.of("worker"):
            if job_id in running.log(name):
                return name
        time.sleep(0.1)
    raise AssertionError(f"no worker has begun {job_id}")


def test_a_job_finds_the_wrong_labels(running: Installation) -> None:
    job_id = _submit(running.client)
    _completed(running.client, job_id)
    items = running.client.get(f"/jobs/{job_id}/suspects", params={"limit": _WRONG}).json()["items"]
    found = {item["sample"]["id"] for item in items} & _table()[1]
    assert len(found) > 0.7 * _WRONG


def test_another_worker_takes_over_from_one_that_was_killed(running: Installation) -> None:
    whole = _submit(running.client, epochs=60)
    _completed(running.client, whole)
    interrupted = _submit(running.client, epochs=60)
    killed = _runner(running, interrupted)
    running.podman("kill", "--signal", "KILL", killed)
    try:
        job = _completed(running.client, interrupted)
    finally:
        running.podman("start", killed)
        running.wait_for_workers()
    assert job["attempts"] == 2
    assert _ranking(running.client, interrupted) == _ranking(running.client, whole)


def test_the_health_checks_of_the_images_pass(running: Installation) -> None:
    checked = [name for name in running.containers if name not in running.of("s3")]
    assert len(checked) == 3 + WORKERS
    for name in checked:
        running.podman("healthcheck", "run", name)


def test_our_processes_have_no_rights(running: Installation) -> None:
    for name in [name for service in _OURS for name in running.of(service)]:
        assert running.inside(name, "id", "-u").strip() == "10001"
        status = dict(line.split(":", 1) for line in running.inside(name, "cat", "/proc/self/status").splitlines())
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
        assert status["NoNewPrivs"].strip() == "1"
        with pytest.raises(AssertionError, match="Read-only file system"):
            running.inside(name, "touch", "/opt/venv/file")


def test_secrets_are_in_no_environment_and_no_list_of_processes(running: Installation) -> None:
    for name in running.containers:
        seen = running.inside(name, "sh", "-c", "cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline | tr '\\0' '\\n'")
        assert seen
        assert not [secret for secret in running.secrets if secret in seen], name


def test_database_and_broker_have_no_way_out(running: Installation) -> None:
    def leads_out(name: str) -> bool:
        routes = running.inside(name, "cat", "/proc/net/route").splitlines()[1:]
        return any(route.split()[1] == "00000000" for route in routes)

    assert leads_out(running.of("api")[0])
    assert not leads_out(running.of("postgres")[0])
    assert not leads_out(running.of("redis")[0])


def test_every_line_of_our_logs_is_json_and_those_of_a_job_have_its_id(running: Installation) -> None:
    job_id = _submit(running.client)
    _completed(running.client, job_id)
    lines = {
        service: [json.loads(line) for name in running.of(service) for line in running.log(name).splitlines()]
        for service in _OURS
    }
    for service in _OURS:
        assert any(line.get("job") == job_id for line in lines[service]), service


def test_the_image_tells_the_schema_of_its_database(running: Installation) -> None:
    assert "newest schema" in running.inside(running.of("api")[0], "suspects", "migrate", "status")
