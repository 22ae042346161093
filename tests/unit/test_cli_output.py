"""Where the address of the service stands, and output that cannot be written."""

import subprocess
import sys

import pytest

from service.terminal import cli
from tests.unit.test_cli import Suspects, suspects

__all__ = ["suspects"]  # a fixture


@pytest.mark.parametrize(
    ("given", "ordered"),
    [
        (["list", "--url", "http://a", "--limit", "3"], ["--url", "http://a", "list", "--limit", "3"]),
        (["list", "--url=http://a"], ["--url=http://a", "list"]),
        (["--url", "http://a", "list"], ["--url", "http://a", "list"]),
        (["keys", "list", "--key", "sk", "--url", "u"], ["--url", "u", "keys", "list", "--key", "sk"]),
        (["list", "--key", "sk"], ["--key", "sk", "list"]),
        (["show", "job_1", "--", "--url"], ["show", "job_1", "--", "--url"]),
        (["list", "--url"], ["--url", "list"]),
        ([], []),
    ],
)
def test_the_address_may_stand_after_the_verb(given: list[str], ordered: list[str]) -> None:
    assert cli.url_first(given) == ordered


def test_a_verb_with_an_address_behind_it_asks_there(
    suspects: Suspects, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUSPECTS_URL", "http://[")
    assert suspects("list").code == 1
    assert suspects("list", "--url", server).code == 0


@pytest.mark.parametrize("form", ["--json", "-q"])
def test_a_full_disk_is_told_in_one_line(server: str, form: str) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        command = [sys.executable, "-m", "service.terminal.cli", "models", form, "--url", server]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: Cannot write the output\n  No space left on device\n"
