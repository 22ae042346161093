"""Every command of the documentation works, in the order of its page, against a service that runs.

A runner of our own: mktestdocs and pytest-examples know no session of a terminal, in which Python blocks write the files that
shell blocks upload and variables go on to the next block.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS, PAGES, ROOT, Block, blocks
from tests.servers import reserved_port
from tests.stand_in import TOKEN, standing_in, text_task

# Whichever test comes first starts the stack and types the first page, too.
pytestmark = [pytest.mark.xdist_group("docs"), pytest.mark.timeout(900)]

ADDRESS = "http://127.0.0.1:8000"  # that the pages name
LABEL_STUDIO = "https://labels.example.org"
FIRST = DOCS / "first-steps.md"
READY_S, PAGE_S = 120, 240
SUSPECTS = Path(sys.executable).with_name("suspects")
RUN = {"sh", "python"}
SHOWN = {"text", "json"}  # what a program printed, or what stands in a file
_ANNOUNCE = """import sys
def announce(where):
    print("@@", where, file=sys.stderr, flush=True)
"""
MARKED = [block for page in PAGES for block in blocks(page) if block.reason is not None]


@dataclass
class Terminal:
    """A folder in which pages are typed, a service that runs, and a stand-in for Label Studio."""

    folder: Path
    api: str
    label_studio: str
    typed: dict[Path, subprocess.CompletedProcess[str]] = field(default_factory=dict)

    def type(self, page: Path) -> subprocess.CompletedProcess[str]:
        """Run the blocks of a page in one session of bash, which ends with the first that fails.

        Other pages begin with the files, variables and functions that the first one leaves.
        """
        if page != FIRST and self.type(FIRST).returncode != 0:
            pytest.fail(f"{FIRST.name} failed, which this page begins with")
        if page not in self.typed:
            begin = [] if page == FIRST else ["source session.sh"]
            end = ["declare -p JOB DATASET > session.sh", "declare -f >> session.sh"] if page == FIRST else []
            ran = [block for block in blocks(page) if block.language in RUN and block.reason is None]
            body = [self._commands(list(part)) for _, part in groupby(ran, lambda block: block.language)]
            self.typed[page] = self._bash("\n".join(["set -euo pipefail", *begin, *body, *end]))
        return self.typed[page]

    def _commands(self, part: Sequence[Block]) -> str:
        """Blocks of one language as bash types them; those of Python share a process, which saves imports, and no names."""
        code = {block.where: self._here(block.code) for block in part}
        if part[0].language == "python":
            steps = "".join(
                f"announce({where!r})\nexec({text!r}, dict(__name__='__main__'))\n" for where, text in code.items()
            )
            return f"python -W error - <<'END_OF_BLOCKS'\n{_ANNOUNCE}{steps}END_OF_BLOCKS"
        return "\n".join(f"echo '@@ {where}' >&2\n{text}" for where, text in code.items())

    def _here(self, code: str) -> str:
        return code.replace(ADDRESS, self.api).replace(LABEL_STUDIO, self.label_studio)

    def _bash(self, script: str) -> subprocess.CompletedProcess[str]:
        environment = bare_environment() | {
            "API": self.api,
            "SUSPECTS_URL": self.api,
            "LABEL_STUDIO_TOKEN": TOKEN,
            "CURL_HOME": str(self.folder),
            "PYTHONPATH": str(ROOT),
            "PATH": f"{SUSPECTS.parent}:{os.environ['PATH']}",
        }
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PAGE_S,
            check=False,
        )


def bare_environment() -> dict[str, str]:
    """The environment without settings of an installation."""
    return {key: value for key, value in os.environ.items() if not key.startswith("SUSPECTS_")}


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """The embedded stack, started as a reader starts it."""
    folder = tmp_path_factory.mktemp("docs")
    # A refusal of the service ends a page, which curl by itself takes for an answer like others.
    (folder / ".curlrc").write_text('fail-with-body\nsilent\nshow-error\nnoproxy = "*"\n')
    with reserved_port() as port, standing_in() as tool, (folder / "stack.txt").open("w+") as output:
        tool.tasks = [text_task(number, "cat" if number % 2 else "dog") for number in range(1, 25)]
        stack = subprocess.Popen(
            [SUSPECTS, "up", "--home", folder / "home", "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=bare_environment() | {"SUSPECTS_ALLOW_PRIVATE_CONNECTIONS": "true"},
        )
        try:
            wait_until_ready(stack, folder / "stack.txt")
            yield Terminal(folder, f"http://127.0.0.1:{port}", tool.url)
        finally:
            stack.terminate()
            stack.wait()


def wait_until_ready(stack: subprocess.Popen[bytes], output: Path) -> None:
    """Raises AssertionError with what it printed where it ends, or does not come to be ready."""
    deadline = time.monotonic() + READY_S
    while "Ready" not in output.read_text():
        assert stack.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)


@pytest.mark.parametrize("page", [page for page in PAGES if page != FIRST], ids=lambda page: page.name)
def test_every_command_of_a_page_works(page: Path, terminal: Terminal) -> None:
    done = terminal.type(page)
    block = done.stderr.rpartition("@@ ")[2].partition("\n")[0]
    assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def test_every_command_of_the_first_page_works(terminal: Terminal) -> None:
    test_every_command_of_a_page_works(FIRST, terminal)


def test_the_notebook_runs_and_its_corrected_frame_makes_models_better(terminal: Terminal) -> None:
    executed = terminal.folder / "executed.ipynb"
    command: list[str | Path] = [SUSPECTS.with_name("jupyter-execute"), DOCS / "notebook.ipynb", "--output", executed]
    environment = bare_environment() | {"SUSPECTS_URL": terminal.api, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=terminal.folder, env=environment, capture_output=True, text=True, timeout=PAGE_S, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    cells = json.loads(executed.read_text())["cells"]
    printed = "".join("".join(output.get("text", ())) for cell in cells for output in cell.get("outputs", ()))
    gains = re.findall(r"([\d.]+)% before, ([\d.]+)% after", printed)
    assert len(gains) == 2
    assert all(float(after) > float(before) + 3 for before, after in gains), gains
    assert "types kept: True" in printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run_shown_or_marked(page: Path) -> None:
    for block in blocks(page):
        assert block.language in RUN | SHOWN, f"{block.where}: {block.language or 'no language'}"
        assert block.reason is None or block.language in RUN, f"{block.where}: nothing that could be run is marked"


@pytest.mark.parametrize("block", MARKED, ids=lambda block: block.where)
def test_what_is_not_run_is_at_least_syntax(block: Block) -> None:
    """Listed one by one in the output of every run, with the reason."""
    if block.language == "python":
        compile(block.code, block.where, "exec")
    else:
        done = subprocess.run(["bash", "-n"], input=block.code, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    pytest.skip(f"not run: {block.reason}")
