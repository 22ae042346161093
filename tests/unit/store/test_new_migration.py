"""`make migration`, in a copy of the tree."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SIGNALS = "for name in SIGNALS)"
CHECK = """
import sys
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from service.store.engine import migrate, open_database
from service.store.tables import metadata

migrate(sys.argv[1])
with open_database(sys.argv[1]).read() as connection:
    print(compare_metadata(MigrationContext.configure(connection), metadata))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the command reads and writes."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "service", tmp_path / "service", ignore=shutil.ignore_patterns("__pycache__", "web"))
    return tmp_path


def make_migration(tree: Path, message: str) -> subprocess.CompletedProcess[str]:
    # The packages are there already: make must not install them again.
    command = ["make", "-o", ".venv/.installed-dev", f"BIN={Path(sys.executable).parent}", "migration", f"m={message}"]
    # Inside of `make test`, make would otherwise announce the folders that it enters and leaves.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_new_signal_gets_its_column_from_the_command_alone(tree: Path) -> None:
    versions, tables = tree / "service/store/migrations/versions", tree / "service/store/tables.py"
    before = {path.name: path.read_text() for path in versions.glob("*.py")}
    number = int(max(before)[:4]) + 1
    tables.write_text(tables.read_text().replace(SIGNALS, 'for name in [*SIGNALS, "brand_new"])'))
    done = make_migration(tree, "A brand-new signal")
    assert done.returncode == 0, done.stderr
    (path,) = set(versions.glob("*.py")) - {versions / name for name in before}
    assert path.name == f"{number:04d}_a_brand_new_signal.py"
    assert done.stdout.splitlines()[-1] == str(path.relative_to(tree))
    assert 'batch_op.add_column(sa.Column("brand_new", sa.Double(), nullable=True))' in path.read_text()
    assert before == {name: (versions / name).read_text() for name in before}, "the others are formatted as before"
    command = [sys.executable, "-c", CHECK, f"sqlite:///{tree / 'new.db'}"]
    checked = subprocess.run(
        command, cwd=tree, env={"PYTHONPATH": str(tree)}, capture_output=True, text=True, check=True
    )
    assert checked.stdout == "[]\n"


@pytest.mark.slow
@pytest.mark.parametrize(("message", "reason"), [("nothing new", "nothing to migrate"), (" ", "say what changed")])
def test_no_migration_is_written_without_a_change_or_a_message(tree: Path, message: str, reason: str) -> None:
    versions = tree / "service/store/migrations/versions"
    before = set(versions.iterdir())
    done = make_migration(tree, message)
    assert done.returncode != 0
    assert reason in done.stderr
    assert set(versions.glob("*.py")) == {path for path in before if path.suffix == ".py"}
