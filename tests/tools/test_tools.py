"""Files for labelling tools, read by the tools' own code. Prodigy is sold and not to be had; the others run as servers."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.platforms.test_platform_exports import GOLDEN, SUSPECTS

pytestmark = pytest.mark.tools

PYTHON = Path(os.environ.get("TEST_TOOLS", ".venv-tools/bin/python"))
FILES = [
    "fiftyone.image.json",
    "labelbox.text.jsonl",
    "labelbox.image.jsonl",
    "argilla.text.json",
    "argilla.image.json",
]


def understood(file: Path, tool: str, folder: Path) -> list[dict[str, Any]]:
    """What a tool makes of a file."""
    if not PYTHON.exists():
        pytest.skip("the tools are not installed here: make test-tools")
    environment = {**os.environ, "HOME": str(folder), "FIFTYONE_DO_NOT_TRACK": "true"}
    command: list[str | Path] = [PYTHON.absolute(), Path(__file__).with_name("reading.py"), tool, file]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=200)
    assert answer.returncode == 0, answer.stderr[-3000:]
    found: list[dict[str, Any]] = json.loads(answer.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("name", FILES)
def test_the_tool_reads_every_suspect_with_its_suggestion(name: str, tmp_path: Path) -> None:
    known = [
        {
            "id": one.id,
            "suggested": one.suggested,
            "confidence": one.confidence,
            "suspicion": one.score,
            "flagged": one.flagged,
        }
        for one in SUSPECTS
    ]
    found = understood(GOLDEN / name, name.partition(".")[0], tmp_path)
    assert found == [{field: suspect[field] for field in one} for suspect, one in zip(known, found, strict=True)]
    assert {"id", "suggested", "confidence"} <= set(found[0])


def test_cvat_takes_an_issue_for_each_flagged_image(tmp_path: Path) -> None:
    found = understood(GOLDEN / "cvat.image.json", "cvat", tmp_path)
    assert [one["frame"] for one in found] == [one.index for one in SUSPECTS if one.flagged]
    assert all(one["corners"] == 4 for one in found)
    assert "looks like sports" in found[0]["message"]


@pytest.mark.parametrize(("tool", "spoilt"), [("labelbox", '{"name": 5}'), ("cvat", '[{"frame": "x"}]')])
def test_the_tool_refuses_what_is_none_of_its_files(tool: str, spoilt: str, tmp_path: Path) -> None:
    (tmp_path / "spoilt").write_text(spoilt)
    with pytest.raises(AssertionError, match=r"Error"):
        understood(tmp_path / "spoilt", tool, tmp_path)
