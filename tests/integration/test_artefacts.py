"""Hosts that share no file system: an API and workers, each with a data folder of its own, over PostgreSQL, Valkey and a real S3 server."""

import io
import json
import time
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from s3fs import S3FileSystem

from service.domain.errors import ArtefactsUnavailable
from service.store.artefact_store import ArtefactStore
from tests.integration.installation import LONG, Installation, impatient, installed, kill
from tests.servers import S3Server


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> ArtefactStore:
    """An empty place in a bucket."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    store = ArtefactStore(f"s3://suspects/{uuid.uuid4().hex}")
    store.probe()  # this server makes the bucket
    return store


@pytest.fixture
def installation(tmp_path: Path, empty_postgres: str, redis_url: str, bucket: ArtefactStore) -> Iterator[Installation]:
    """The API on a host of its own."""
    settings = impatient(tmp_path / "api", empty_postgres, redis_url)
    with installed(settings.model_copy(update={"artefacts": bucket.url})) as opened:
        yield opened


@contextmanager
def worker_of(installation: Installation, name: str) -> Iterator[Any]:
    """A worker on a host of its own."""
    with installation.worker(installation.settings.home.with_name(name)) as process:
        yield process


def pictures() -> bytes:
    """A ZIP of 60 small pictures in three folders."""
    generator, packed = np.random.default_rng(0), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(60):
            kind = number % 3
            pixels = generator.integers(0, 90, (8, 8, 3)) + np.eye(3)[kind] * 150
            content = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(content, "PNG")
            archive.writestr(f"{'abc'[kind]}/{number}.png", content.getvalue())
    return packed.getvalue()


def submit_pictures(installation: Installation) -> str:
    spec = {"model": {"name": "small_cnn"}, "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.01}}
    answer = installation.client.post("/jobs", files={"file": ("p.zip", pictures())}, data={"spec": json.dumps(spec)})
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def delete_all(installation: Installation) -> None:
    for kind in ("jobs", "datasets"):
        for one in installation.client.get(f"/{kind}").json()["items"]:
            installation.client.delete(f"/{kind}/{one['id']}").raise_for_status()


def test_a_job_passes_between_hosts_and_its_files_are_everywhere_and_then_nowhere(
    installation: Installation, bucket: ArtefactStore, tmp_path: Path
) -> None:
    client = installation.client
    with worker_of(installation, "first") as first:
        pictures_job = submit_pictures(installation)
        installation.wait(pictures_job, "completed")
        assert (
            client.get("/readyz")
            .json()["checks"]["storage"]["detail"]
            .startswith("can be written, and the artefact store; ")
        )
        # It dies in the middle of a training.
        job_id = installation.submit(LONG)
        installation.wait(job_id, "training")
        while not any(key.endswith(".pt") for key in bucket.under(f"jobs/{job_id}")):
            time.sleep(0.05)
        kill(first)
    with worker_of(installation, "second"):
        job = installation.wait(job_id, "completed")
        undisturbed = installation.submit(LONG)
        installation.wait(undisturbed, "completed")
    # The other host went on from a checkpoint of the first one, to the same bits.
    assert job["attempts"] == 2
    assert installation.epochs(job_id) == list(range(1, LONG["epochs"] + 1))
    assert installation.ranking(job_id) == installation.ranking(undisturbed)

    # The API has never seen these files, and shows them.
    shown = client.get(f"/jobs/{pictures_job}/suspects", params={"limit": 1}).json()["items"][0]
    name = shown["sample"]["id"]
    assert shown["sample"]["preview"]
    assert len(client.get(f"/jobs/{pictures_job}/samples/{name}").json()["trajectory"]["loss"]) == 2
    image = client.get(f"/datasets/{installation.job(pictures_job)['dataset']['id']}/samples/{name}/media")
    assert image.headers["content-type"].startswith("image/"), image.text
    assert client.get(f"/jobs/{job_id}/model").status_code == httpx.codes.OK

    # A third host, whose folder is empty, scores the samples again by the checkpoints.
    said = [{"sample_id": f"s{number}", "decision": "keep"} for number in range(12)]
    client.post(f"/jobs/{job_id}/reviews", json=said).raise_for_status()
    client.post(f"/jobs/{job_id}/rescore").raise_for_status()
    with worker_of(installation, "third"):
        while (told := installation.job(job_id)["rescoring"])["state"] != "completed":
            assert told["state"] in ("running", "queued"), told
            time.sleep(0.1)
    assert len(installation.ranking(job_id)) == len(installation.ranking(undisturbed))
    assert bucket.under(f"jobs/{job_id}/ranking-1")

    delete_all(installation)
    assert bucket.under("") == {}


def test_workers_of_two_hosts_share_the_scoring_of_a_job(
    installation: Installation,
    bucket: ArtefactStore,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with worker_of(installation, "first"):
        alone = installation.submit_embeddings()
        installation.wait(alone, "completed")
    monkeypatch.setattr(installation, "settings", installation.settings.model_copy(update={"share_seconds": 0.05}))
    capfd.readouterr()
    with worker_of(installation, "second"), worker_of(installation, "third"):
        installation.wait_for_workers(2)
        by_others = 0
        for _ in range(10):  # on a busy machine help may come too late
            job_id = installation.submit_embeddings()
            installation.wait(job_id, "completed")
            told = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"scoring shared"' in line]
            by_others += sum(one["by_others"] for one in told)
            if by_others:
                break
    assert by_others > 0
    assert installation.ranking(job_id) == installation.ranking(alone)
    assert not bucket.under(f"jobs/{job_id}/shared")


def test_a_small_object_takes_one_request_to_write_and_one_to_read(
    bucket: ArtefactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.probe()  # connects
    requests: list[str] = []
    call = S3FileSystem._call_s3

    def counted(files: S3FileSystem, method: str, *given: object, **named: object) -> object:
        requests.append(method)
        return call(files, method, *given, **named)

    monkeypatch.setattr(S3FileSystem, "_call_s3", counted)
    content = np.random.default_rng(0).bytes(2**20)
    bucket.put_bytes("jobs/job_1/shared/0.block", content)
    assert bucket.get_bytes("jobs/job_1/shared/0.block") == content
    assert requests == ["put_object", "get_object"]
    with pytest.raises(FileNotFoundError):
        bucket.get_bytes("jobs/job_1/shared/1.block")


def test_a_large_file_travels_in_parts_and_parts_that_were_left_are_given_up(
    bucket: ArtefactStore, tmp_path: Path
) -> None:
    content = np.random.default_rng(0).bytes(110 * 2**20)  # s3fs sends files of 100 MiB and more in parts
    (tmp_path / "large").write_bytes(content)
    bucket.put({"datasets/ds_1/data.parquet": tmp_path / "large"})
    bucket.get({"datasets/ds_1/data.parquet": tmp_path / "copy"})
    assert (tmp_path / "copy").read_bytes() == content
    place, _, prefix = bucket.url.removeprefix("s3://").partition("/")
    files = S3FileSystem(skip_instance_cache=True)
    assert files.info(f"{place}/{prefix}/datasets/ds_1/data.parquet")["ETag"].endswith('-3"')  # three parts
    files.call_s3("create_multipart_upload", Bucket=place, Key=f"{prefix}/jobs/job_1/model.safetensors")
    now = datetime.now(UTC)
    assert bucket.abandon_uploads(now - timedelta(hours=1)) == 0
    assert bucket.abandon_uploads(now + timedelta(hours=1)) == 1
    assert bucket.abandon_uploads(now + timedelta(hours=1)) == 0


def test_a_store_that_refuses_or_is_away_is_told_without_the_key_of_it(
    bucket: ArtefactStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-and-secret")
    with pytest.raises(ArtefactsUnavailable, match="PermissionError") as told:
        ArtefactStore(bucket.url).probe()
    assert "secret" not in told.value.detail
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # where nobody answers
    away = ArtefactStore(bucket.url)
    with pytest.raises(ArtefactsUnavailable, match="EndpointConnectionError"):
        away.under("jobs")
    with pytest.raises(ArtefactsUnavailable, match="EndpointConnectionError"):
        away.get({"key": tmp_path / "key"})
