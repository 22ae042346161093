"""The real doccano, and an installation of ours with a worker process."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doccano.tool import Tool, running
from tests.label_studio.conftest import installation, port

__all__ = ["installation", "port"]

PROGRAM = Path(os.environ.get("TEST_DOCCANO", ".venv-doccano/bin/doccano"))


@pytest.fixture(scope="session")
def tool() -> Iterator[Tool]:
    """The program that `TEST_DOCCANO` names, started."""
    if not PROGRAM.exists():
        pytest.skip("the real doccano is not installed here: make test-doccano")
    folder = Path(tempfile.mkdtemp(prefix="suspects-doccano-"))
    try:
        with running(PROGRAM.absolute(), folder) as started:
            yield started
    finally:
        shutil.rmtree(folder, ignore_errors=True)
