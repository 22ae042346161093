"""Issues by the command, the client and the tool: each says what the API says."""

import json

import httpx
import pytest

from service.services import Services
from service.store import rankings
from service.terminal.tools.server import make_server
from tests.agent import connected
from tests.builders import add_finished, kept_issues
from tests.unit.test_cli import Suspects, plain, suspects, table_of, terminal
from usual_suspects.client import Client

__all__ = ["suspects", "terminal"]  # fixtures

URL = "/jobs/job_1/issues"
IDS = [f"row-{row}" for row in range(6)]


@pytest.fixture(autouse=True)
def job(services: Services) -> None:
    """A completed job in which samples repeat."""
    add_finished(services.database, services.blobs)
    with services.database.write() as connection:
        rankings.replace_summaries(connection, "job_1", {"issues": kept_issues()})


def test_the_command_lists_types_and_the_samples_of_one(suspects: Suspects, client: httpx.Client) -> None:
    answer = client.get(URL).json()
    assert json.loads(suspects("issues", "job_1", "--json").out) == answer
    rows = table_of(suspects("issues", "job_1").out)
    assert [(row["type"], int(row["flagged"])) for row in rows] == [
        (one["type"], one["flagged"]) for one in answer["items"]
    ]
    samples = table_of(suspects("issues", "job_1", "--type", "exact_duplicates", "--limit", "4").out)
    assert [row["sample_id"] for row in samples] == IDS[:4]
    assert suspects("issues", "job_1", "-q").out.splitlines() == IDS
    wrong = suspects("issues", "job_1", "--type", "labels")
    assert (wrong.code, "exact_duplicates" in wrong.err) == (1, True)


@pytest.mark.usefixtures("terminal")
def test_a_person_reads_what_was_not_looked_for(suspects: Suspects) -> None:
    assert "leakage was not looked for: This job holds no sample out." in plain(suspects("issues", "job_1").out)


def test_the_client_and_the_tool_say_the_same(server: str) -> None:
    with Client(server) as client, connected(make_server(client)) as agent:
        (copies,) = client.job("job_1").issues("exact_duplicates", samples=2)
        assert ([one.id for one in copies.samples], copies.flagged) == (IDS[:2], 6)
        told = agent.call("issues", job="job_1", samples=2)
    found = next(one for one in told["items"] if one["type"] == "exact_duplicates")
    assert ([one["sample"] for one in found["samples"]], found["flagged"]) == (IDS[:2], 6)
    assert told["not_checked"] == [{"type": "leakage", "reason": "This job holds no sample out."}]
