"""Workers of different queues: each takes its own jobs, and what none takes is told."""

import time
from pathlib import Path

import httpx

from tests.integration.installation import QUICK, eager, installed, kill


def test_a_worker_for_gpus_leaves_a_table_to_another_and_does_large_networks(
    tmp_path: Path, empty_sqlite: str, redis_url: str
) -> None:
    with installed(eager(tmp_path / "home", empty_sqlite, redis_url)) as service, service.worker(queues="gpu"):
        service.wait_for_workers(1)
        table = service.submit(QUICK)
        while (job := service.job(table))["progress"]["detail"] != "waiting for a worker of the queue cpu":
            assert job["state"] == "queued"
            time.sleep(0.1)
        assert service.client.get("/readyz").status_code == httpx.codes.SERVICE_UNAVAILABLE
        with service.worker(queues="questions,cpu,blocks") as other:
            assert service.wait(table, "completed")["attempts"] == 1
            assert service.client.get("/readyz").status_code == httpx.codes.OK
            kill(other)
        service.wait(service.submit(QUICK, model={"name": "ft_transformer", "params": {"width": 8}}), "completed")
