"""A labelling tool connected, pushed to and reconciled from the command line. The tool is a stand-in."""

import json

import httpx
import pytest

from tests.stand_in import TOKEN, StandIn
from tests.unit.label_studio.test_label_studio_reconcile import app, connection, job, relabel, tool
from tests.unit.test_cli import Suspects, suspects, table_of

__all__ = ["app", "connection", "job", "suspects", "tool"]  # fixtures


def test_a_tool_is_connected_with_the_token_of_the_environment(
    suspects: Suspects, tool: StandIn, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", TOKEN)
    said = suspects("connect", tool.url, "--name", "labels", "-q")
    (made,) = client.get("/connections").json()["items"]
    assert (said.code, said.out, made["name"]) == (0, f"{made['id']}\n", "labels")
    shown = suspects("connections").out + suspects("connect", tool.url, "--json").out
    assert table_of(suspects("connections").out)[-1]["connection"] == made["id"]
    assert TOKEN not in shown
    monkeypatch.setenv("LABEL_STUDIO_TOKEN", "wrong")
    refused = suspects("connect", tool.url)
    assert (refused.code, refused.out, "token" in refused.err.lower()) == (1, "", True)


def test_every_option_of_a_push_reaches_the_tool_and_its_decisions_come_back(
    suspects: Suspects, job: str, tool: StandIn
) -> None:
    tried = json.loads(suspects("push", job, "--mode", "predictions", "--limit", "3", "--dry-run", "--json").out)
    assert (tried["mode"], tried["dry_run"], tried["predictions"], tool.predictions) == ("predictions", True, 3, [])
    said = suspects("push", job, "--mode", "predictions", "--limit", "3")
    assert (said.code, said.out.startswith("3 tasks with predictions, 3 written")) == (0, True)
    assert len(tool.predictions) == 3
    assert suspects("push", job, "--mode", "nowhere").code == 1
    relabel(tool, 1, "dog")
    said = suspects("reconcile", job)
    assert (said.code, said.out) == (0, f"1 new decisions, {len(tool.tasks)} tasks\n"), said.err
    assert json.loads(suspects("reconcile", job, "--json").out)["recorded"] == 0
