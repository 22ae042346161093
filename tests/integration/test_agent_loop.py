"""An agent with nothing but tools: from a file to a corrected file, over stdio, on real parts."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.agent import Agent, over_stdio
from tests.integration.installation import eager, installed, table


@pytest.fixture
def agent(tmp_path: Path, redis_url: str, migrated_sqlite: Path) -> Iterator[Agent]:
    """An agent, beside a service and a worker."""
    url = f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'suspects.db')}"
    settings = eager(tmp_path / "home", url, redis_url)
    with installed(settings) as opened, opened.worker(), over_stdio(str(opened.client.base_url)) as found:
        yield found


def rows(content: str) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in csv.DictReader(content.splitlines())}


def spoilt(content: str) -> tuple[str, set[str]]:
    """The table with every twelfth label wrong, and which these are."""
    lines, wrong = content.splitlines(), set()
    for number in range(1, len(lines), 12):
        values = lines[number].split(",")
        values[-1] = "abc"[("abc".index(values[-1]) + 1) % 3]
        lines[number] = ",".join(values)
        wrong.add(values[0])
    return "\n".join(lines), wrong


def test_an_agent_corrects_a_file_with_tools_alone(agent: Agent, tmp_path: Path) -> None:
    right = table().decode()
    given, wrong = spoilt(right)
    (tmp_path / "table.csv").write_text(given)
    source, output = str(tmp_path / "table.csv"), tmp_path / "fixed.csv"
    job = agent.call(
        "submit", source=source, label="kind", id_column="name", epochs=4, options={"training": {"seed": 1}}
    )
    while (job := agent.call("wait", job=job["id"], seconds=20))["state"] not in ("completed", "failed", "cancelled"):
        pass
    assert job["state"] == "completed", job
    found: list[dict[str, Any]] = []
    cursor = None
    while len(found) < len(wrong):
        page = agent.call("suspects", job=job["id"], limit=20, cursor=cursor)
        found += page["items"]
        cursor = page["next"]
    # It looks at each, as a person would: what is right is known from the table that was not spoilt.
    assert agent.call("sample", job=job["id"], sample=found[0]["sample"])["reason"]
    true = rows(right)
    decisions = [
        {"sample_id": row["sample"], "decision": "keep"}
        if row["given_label"] == true[row["sample"]]["kind"]
        else {"sample_id": row["sample"], "decision": "relabel", "label": true[row["sample"]]["kind"]}
        for row in found
    ]
    agent.call("review", job=job["id"], decisions=decisions)
    written = agent.call("corrected", job=job["id"], output=str(output))
    assert written["path"] == str(output)
    fixed = rows(output.read_text())
    corrected = {name for name in wrong if fixed[name] == true[name]}
    assert len(corrected) > 0.6 * len(wrong)
    assert corrected == wrong & {row["sample"] for row in found}
    assert all(fixed[name] == row for name, row in rows(given).items() if name not in corrected)
    # The corrected dataset can be ranked in turn.
    version = agent.call("version", job=job["id"])
    assert version["lineage"]["relabelled"] == len(corrected)
    assert agent.call("submit", source=version["id"], epochs=4)["dataset"] == version["id"]
