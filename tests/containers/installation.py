"""The compose file run by podman: images, containers, networks and volumes are real.

It needs root, podman and, where no registry of images can be reached, debootstrap. The images of the servers are then
stand-ins: real PostgreSQL, Valkey and SeaweedFS without the scripts of their official images.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.servers import S3Server, reserved_port

ROOT = Path(__file__).parents[2]
_HERE = Path(__file__).parent
_PROGRAMS = ("podman", "buildah", "netavark", "aardvark-dns", "catatonit", "iptables")
_PACKAGES = "podman buildah netavark aardvark-dns catatonit iptables runc debootstrap"
_PYTHON = "docker.io/library/python:3.13-slim-trixie"
_SERVERS = {
    "postgres": "docker.io/library/postgres:18-trixie",
    "valkey": "docker.io/valkey/valkey:9-trixie",
    "s3": "localhost/usual-suspects-tests-s3",
}
_SECRETS = ("suspects_api_keys", "suspects_database_password", "suspects_broker_password")
_PROJECT = "suspects-tests"
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_READY_WITHIN_S = 120.0
WORKERS = 2


@dataclass(frozen=True)
class Installation:
    """The running services of the compose file, with two workers."""

    client: httpx.Client
    secrets: tuple[str, ...]
    environment: dict[str, str]

    @property
    def containers(self) -> list[str]:
        """The names of those that run."""
        return self.podman(
            "ps", "--filter", f"label=io.podman.compose.project={_PROJECT}", "--format", "{{.Names}}"
        ).split()

    def of(self, service: str) -> list[str]:
        """The running containers of one service."""
        return sorted(name for name in self.containers if name.split("_")[1] == service)

    def inside(self, container: str, *command: str) -> str:
        """What a command prints in a container; an error if it fails."""
        return self.podman("exec", container, *command)

    def log(self, container: str) -> str:
        """What a container has written so far, to both of its streams."""
        words = ["podman", "logs", container]
        return subprocess.run(
            words, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
        ).stdout

    def wait_for_workers(self) -> None:
        """Until both can take a job."""
        _wait(self.client)

    def podman(self, *words: str) -> str:
        """What podman prints."""
        return _run(["podman", *words], self.environment)


@contextmanager
def installation() -> Iterator[Installation]:
    """Build the images, start the services with an S3 store and two workers, and remove all but the images at the end."""
    missing = [program for program in _PROGRAMS if not _found(program)]
    assert not missing, f"{missing} are not installed. On Debian: apt-get install {_PACKAGES}"
    with tempfile.TemporaryDirectory(prefix="suspects-containers-") as folder, reserved_port() as port:
        values = _write_secrets(Path(folder))
        environment = os.environ | {
            "BUILDAH_FORMAT": "docker",  # the other one has no health checks
            "CONTAINERS_CONF": str(_limits(Path(folder))),
            "SECRETS": folder,
            "API_ADDRESS": f"127.0.0.1:{port}",
            "SUSPECTS_ARTEFACTS": "s3://suspects/artefacts",
            "SUSPECTS_LEASE_SECONDS": "10",
            "SUSPECTS_HEARTBEAT_SECONDS": "2",
            "SUSPECTS_THREADS": "1",  # a worker that is left alone would take more, which changes the last bits
            **S3Server("http://s3:8333").environment,
        }
        _prepare_images(environment)
        # One image after the other: the second one takes what both are made of from the first.
        program = [sys.executable, "-m", "podman_compose", "--parallel", "1"]
        compose = [*program, "-p", _PROJECT, "-f", "docker-compose.yml", "-f", str(_HERE / "s3.compose.yml")]
        _remove(compose, environment)
        try:
            _run([*compose, "up", "--detach", "--build", "--scale", f"worker={WORKERS}"], environment)
            headers = {"Authorization": f"Bearer {values[0]}"}
            with httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False, timeout=30
            ) as client:
                _wait(client)
                yield Installation(client, values, environment)
        finally:
            _remove(compose, environment)


def _found(program: str) -> bool:
    helpers = (Path("/usr/lib/podman") / program, Path("/usr/libexec/podman") / program)
    return shutil.which(program) is not None or any(helper.exists() for helper in helpers)


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
    return done.stdout


def _write_secrets(folder: Path) -> tuple[str, ...]:
    values = tuple(secrets.token_hex(32) for _ in _SECRETS)
    for name, value in zip(_SECRETS, values, strict=True):
        (folder / name).write_text(value + "\n")
    return values


def _limits(folder: Path) -> Path:
    """A configuration of podman by which containers keep the limits of this process: raising them can be forbidden to root."""
    path = folder / "containers.conf"
    path.write_text("[containers]\ndefault_ulimits = []\n")
    return path


def _prepare_images(environment: dict[str, str]) -> None:
    if not _is_there(_PYTHON, environment):
        _stand_in_for_python(environment)
    for target, image in _SERVERS.items():
        if not _is_there(image, environment):
            constraints = f"{ROOT / 'constraints.txt'}:/constraints.txt:ro"
            _run(
                [
                    "podman",
                    "build",
                    "--volume",
                    constraints,
                    "--target",
                    target,
                    "--tag",
                    image,
                    str(_HERE / "stand_ins"),
                ],
                environment,
            )


def _is_there(image: str, environment: dict[str, str]) -> bool:
    """Whether an image is on this machine, or can be had."""
    asked = (["podman", "image", "exists", image], ["podman", "pull", "--quiet", image])
    return any(
        subprocess.run(each, env=environment, capture_output=True, check=False).returncode == 0 for each in asked
    )


def _stand_in_for_python(environment: dict[str, str]) -> None:
    """Debian's own Python on the Debian release of the official image. It trusts whom this machine trusts."""
    with tempfile.TemporaryDirectory(prefix="suspects-debian-") as folder:
        included = "--include=python3,python3-venv,python3-pip,ca-certificates"
        _run(["debootstrap", "--variant=minbase", included, "trixie", folder])
        shutil.copyfile(_AUTHORITIES, folder + _AUTHORITIES)
        archive = f"{folder}.tar"
        try:
            _run(["tar", "--create", "--directory", folder, "--file", archive, "."])
            _run(
                ["podman", "import", "--change", f"ENV NODE_EXTRA_CA_CERTS={_AUTHORITIES}", archive, _PYTHON],
                environment,
            )
        finally:
            Path(archive).unlink(missing_ok=True)


def _wait(client: httpx.Client) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if client.get("/readyz").json().get("workers", {}).get("ready") == WORKERS:
                return
        time.sleep(0.5)
    raise AssertionError(f"no {WORKERS} workers are ready after {_READY_WITHIN_S:.0f} s")


def _remove(compose: list[str], environment: dict[str, str]) -> None:
    # podman-compose does not remove the second container of a service.
    subprocess.run(
        ["podman", "pod", "rm", "--force", f"pod_{_PROJECT}"], env=environment, capture_output=True, check=False
    )
    subprocess.run([*compose, "down", "--volumes"], env=environment, cwd=ROOT, capture_output=True, check=False)
