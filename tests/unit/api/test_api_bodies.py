"""Forms: parts, limits, disks that are full, memory that stays flat."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import httpx
import pytest
from fastapi import FastAPI

from service.main import create_app
from service.services import Services
from service.settings import Settings
from tests.builders import CSV, form

FILE = b'Content-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n' + CSV
SPEC = b'Content-Disposition: form-data; name="spec"\r\nContent-Type: application/json\r\n\r\n{"label": "animal"}'
LIMIT = 2**18


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    return create_app(settings.model_copy(update={"max_upload_bytes": LIMIT}))


def post(client: httpx.Client, *parts: bytes, end: bytes = b"--edge--\r\n") -> httpx.Response:
    content = b"".join(b"--edge\r\n" + part + b"\r\n" for part in parts) + end
    return client.post("/datasets", content=content, headers={"Content-Type": "multipart/form-data; boundary=edge"})


def left_over(services: Services) -> list[Path]:
    return list(services.blobs.uploads.iterdir())


def test_the_order_of_the_parts_does_not_matter(client: httpx.Client) -> None:
    ids = {post(client, *parts).json()["id"] for parts in ((FILE, SPEC), (SPEC, FILE))}
    assert len(ids) == 1


@pytest.mark.parametrize(
    "parts",
    [
        (SPEC,),
        (),
        (FILE, FILE),
        (FILE, SPEC, SPEC),
        (FILE, b'Content-Disposition: form-data; name="label"\r\n\r\nanimal'),
        (FILE, SPEC.replace(b'"}', b'"')),
        (b"Nothing: here\r\n\r\nx",),
    ],
)
def test_a_form_with_wrong_parts_is_malformed_and_leaves_nothing(
    client: httpx.Client, services: Services, parts: tuple[bytes, ...]
) -> None:
    response = post(client, *parts)
    assert (response.status_code, response.json()["code"]) == (400, "malformed")
    assert left_over(services) == []


@pytest.mark.parametrize("parts", [(FILE,), (FILE, SPEC), (SPEC, FILE)])
def test_a_form_that_breaks_off_is_malformed(
    client: httpx.Client, services: Services, parts: tuple[bytes, ...]
) -> None:
    assert post(client, *parts, end=b"").status_code == 400
    assert left_over(services) == []


@pytest.mark.parametrize(
    "part", [FILE.replace(b"a.csv", "köln.csv".encode("latin-1")), SPEC.replace(b'"spec"', b'"sp\xe9c"')]
)
def test_a_name_in_another_encoding_than_utf_8_is_malformed(
    client: httpx.Client, services: Services, part: bytes
) -> None:
    response = post(client, SPEC, part)
    assert response.status_code == 400, response.text
    assert response.json()["detail"] == "the form cannot be read: names of parts and files must be UTF-8"
    assert left_over(services) == []


def test_a_form_without_boundary_is_malformed(client: httpx.Client) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary="):
        response = client.post("/datasets", content=b"--edge", headers={"Content-Type": kind})
        assert response.status_code == 400, kind


@pytest.mark.parametrize("route", ["/datasets", "/jobs"])
def test_a_file_beyond_the_limit_is_refused_while_it_comes_in(
    client: httpx.Client, services: Services, route: str
) -> None:
    # It never ends properly: only the limit can be what refuses it.
    content = b"--edge\r\n" + FILE + b"1.5,red,cat\n" * (LIMIT // 6)
    response = client.post(route, content=content, headers={"Content-Type": "multipart/form-data; boundary=edge"})
    assert (response.status_code, response.json()["code"]) == (413, "too_large")
    assert left_over(services) == []


def test_a_file_of_just_the_limit_is_taken(client: httpx.Client) -> None:
    lines = CSV + b"2.5,red,cat\n" * ((LIMIT - len(CSV)) // 12)
    padded = lines + b"\n" * (LIMIT - len(lines))
    assert client.post("/datasets", **form(padded, spec={"label": "animal"})).status_code == 201
    assert client.post("/datasets", **form(padded + b"\n")).status_code == 413


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("times", [1, 100])  # noticed when the file is closed, and while it is written
def test_a_full_disk_is_told_and_leaves_nothing(
    client: httpx.Client, services: Services, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    (services.blobs.uploads / "chosen.part").symlink_to("/dev/full")
    monkeypatch.setattr("secrets.token_hex", lambda _size: "chosen")
    response = client.post("/datasets", **form(CSV * times))
    assert (response.status_code, response.json()["code"]) == (507, "storage_full")
    assert left_over(services) == []


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory as Linux tells it")
def test_memory_does_not_grow_with_the_upload(tmp_path: Path, redis_url: str) -> None:
    environment = {**os.environ, "SUSPECTS_HOME": str(tmp_path), "SUSPECTS_BROKER_URL": redis_url}
    command = [sys.executable, "-m", "uvicorn", "--factory", "service.main:create_app", "--port", "0"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            url = next(found[0] for line in process.stderr if (found := re.findall(r"http://[\d.:]+", line)))
            before = peak(process.pid)
            # Not a dataset: what counts here is the way in.
            response = httpx.post(
                f"{url}/datasets",
                files={"file": ("noise", cast("IO[bytes]", Noise(100 * 2**20)))},
                timeout=60,
                trust_env=False,
            )
            assert response.status_code == 415
            assert peak(process.pid) - before < 40 * 2**20
        finally:
            process.terminate()


def peak(pid: int) -> int:
    """Most memory that a process ever had, in bytes."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) * 1024


class Noise:
    """A file that is nothing, of any size."""

    def __init__(self, size: int) -> None:
        self._left = self._size = size

    def read(self, wanted: int = -1) -> bytes:
        """The next bytes."""
        size = self._left if wanted < 0 else min(wanted, self._left)
        self._left -= size
        return b"\x00\xff\x01\xfe"[: size % 4] + b"\x00\xff\x01\xfe" * (size // 4)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Only to know the size."""
        self._left = 0 if whence else self._size - offset
        return self._size - self._left

    def tell(self) -> int:
        """How much was read."""
        return self._size - self._left

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read(2**16):
            yield block
