"""`suspects review`, corrected versions and comparisons from the command line."""

import io
import json
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from service.actions.rerun import run_again
from service.services import Services
from service.store import rankings
from tests.builders import add_finished, group
from tests.unit.test_cli import Suspects, suspects, table_of

__all__ = ["suspects"]  # a fixture


@pytest.fixture(autouse=True)
def stored(services: Services) -> None:
    """A completed job over a dataset."""
    add_finished(services.database, services.blobs)


def kept(client: httpx.Client) -> list[tuple[str, str, str | None, str | None]]:
    return [
        (one["sample_id"], one["decision"], one["label"], one["reviewer"])
        for one in client.get("/jobs/job_1/reviews").json()["items"]
    ]


def test_one_sample_is_reviewed(suspects: Suspects, client: httpx.Client) -> None:
    said = suspects("review", "job_1", "row-1", "--decision", "relabel", "--label", "cat", "--reviewer", "Noor")
    assert (said.code, said.out) == (0, "1 recorded; reviewed so far: 1\n")
    assert suspects("review", "job_1", "row-2", "--decision", "keep", "-q").out == "row-2\n"
    assert json.loads(suspects("review", "job_1", "row-3", "--decision", "remove", "--json").out)["reviewed"] == 3
    assert kept(client) == [
        ("row-1", "relabel", "cat", "Noor"),
        ("row-2", "keep", None, None),
        ("row-3", "remove", None, None),
    ]


TABLE = "sample_id,decision,label\nrow-1,relabel,cat\nrow-2,,\n\nrow-3,remove,\nrow-4,unsure,\n"
DECIDED = [("row-1", "relabel", "cat", "Ida"), ("row-3", "remove", None, "Ida"), ("row-4", "unsure", None, "Ida")]


@pytest.mark.parametrize("how", ["file", "stdin", "dash"])
@pytest.mark.parametrize("table", [TABLE, TABLE.partition("\n")[2], f"\ufeff{TABLE}"], ids=["header", "bare", "mark"])
def test_a_table_of_decisions_is_recorded(
    suspects: Suspects, client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, table: str
) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text(table, encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO(table))
    options = {"file": ["--file", str(path)], "stdin": [], "dash": ["--file", "-"]}[how]
    said = suspects("review", "job_1", *options, "--reviewer", "Ida", "-q")
    assert said.out.splitlines() == ["row-1", "row-3", "row-4"], said
    assert kept(client) == DECIDED


def test_an_export_is_a_table_of_decisions(suspects: Suspects, client: httpx.Client, tmp_path: Path) -> None:
    suspects("review", "job_1", "row-1", "--decision", "relabel", "--label", "cat", "--reviewer", "Noor")
    suspects("review", "job_1", "row-2", "--decision", "keep")
    output = tmp_path / "ranking.csv"
    assert suspects("export", "job_1", "-o", str(output)).code == 0
    before = kept(client)
    assert suspects("review", "job_1", "-f", str(output)).code == 0
    assert sorted(kept(client)[2:], key=str) == sorted(before, key=str)


def test_a_fault_in_a_table_names_its_line_and_nothing_is_recorded(
    suspects: Suspects, client: httpx.Client, tmp_path: Path
) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text("decision,sample_id,label\nkeep,row-1,\n\nrelabel,row-2,wolf\nkeep,row-none,\n")
    said = suspects("review", "job_1", "-f", str(path))
    assert (said.code, said.out) == (1, "")
    assert f"{path} line 4.label: no class 'wolf'; one of cat, dog, eel" in said.err
    assert f"{path} line 5.sample_id: no sample 'row-none'" in said.err
    assert said.err.count("wolf") == 1
    assert kept(client) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "got nothing"), ("a,b\n1,2\n", "got a,b"), ("sample_id,decision\nrow-1,\n", "no row with a decision")],
)
def test_a_table_that_is_none_is_refused_with_what_is_expected(
    suspects: Suspects, tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "decisions.csv"
    path.write_text(content)
    said = suspects("review", "job_1", "-f", str(path))
    assert (said.code, reason in said.err, "sample_id,decision,label" in said.err) == (1, True, True)
    assert "nothing.csv: No such file" in suspects("review", "job_1", "-f", str(tmp_path / "nothing.csv")).err


@pytest.mark.parametrize(
    "options",
    [["row-1"], ["row-1", "--label", "cat"], ["--decision", "keep"], ["row-1", "--decision", "keep", "-f", "-"]],
)
def test_half_a_decision_is_a_usage_error(suspects: Suspects, client: httpx.Client, options: list[str]) -> None:
    said = suspects("review", "job_1", *options)
    assert (said.code, said.out) == (2, "")
    assert kept(client) == []


def test_a_terminal_is_not_read_as_a_table(suspects: Suspects, monkeypatch: pytest.MonkeyPatch) -> None:
    class Person(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Person(TABLE))
    said = suspects("review", "job_1")
    assert (said.code, "--file" in said.err) == (2, True)


def test_reviews_become_a_version_that_is_listed(suspects: Suspects, client: httpx.Client) -> None:
    nothing = suspects("version", "job_1", "--apply", "wishes")
    assert (nothing.code, "suggestions" in nothing.err) == (1, True)
    suspects("review", "job_1", "row-1", "--decision", "remove")
    made = suspects("version", "job_1", "-q").out.strip()
    found = client.get(f"/datasets/{made}").json()
    assert (found["rows"], found["lineage"]["parent"]) == (11, "ds_1")
    assert made in suspects("datasets", "-q").out.split()
    assert json.loads(suspects("version", "job_1", "--json").out)["id"] == made


def test_a_rerun_waits_for_the_job_that_follows(
    suspects: Suspects, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = suspects("rerun", "job_1")
    assert (refused.code, "no review" in refused.err) == (1, True)
    suspects("review", "job_1", "row-1", "--decision", "remove")
    assert suspects("rerun", "job_1", "-q").out == "job_1\n"
    later = services.now
    begun: list[str] = []

    def pass_time(_seconds: float) -> None:

        begun.extend(run_again(replace(services, now=lambda: later() + timedelta(hours=1))))

    monkeypatch.setattr("service.terminal.version_commands.time.sleep", pass_time)
    said = suspects("rerun", "job_1", "--wait", "-q")
    assert said.out.splitlines() == begun
    assert len(begun) == 1


def test_two_jobs_are_compared(suspects: Suspects, services: Services, client: httpx.Client) -> None:
    add_finished(services.database, services.blobs, "job_2", "ds_2")
    answer = client.get("/jobs/job_2/diff?other=job_1&limit=5").json()
    said = suspects("diff", "job_2", "--other", "job_1", "--limit", "5")
    assert said.code == 0, said
    rows = table_of(said.out)
    names = ("appeared", "vanished", "relabelled", "entered", "left", "moved")
    expected = [(name, item["sample_id"]) for name in names for item in answer[name]["items"]]
    assert [(row["list"], row["sample_id"]) for row in rows] == expected
    assert json.loads(suspects("diff", "job_2", "--other", "job_1", "--limit", "5", "--json").out) == answer


def test_groups_print_the_ids_of_their_samples(suspects: Suspects, client: httpx.Client) -> None:
    (group,) = client.get("/jobs/job_1/groups").json()["items"]
    assert suspects("groups", "job_1", "-q").out.splitlines() == group["sample_ids"]
    rows = table_of(suspects("groups", "job_1").out)
    for row, part in zip(rows, group["parts"], strict=True):
        assert (row["label"], row["part"], row["sample_ids"].split(",")) == ("dog", part["part"], part["sample_ids"])
        assert (row["leans_to"], float(row["lean"])) == (part["leans_to"] or "", part["lean"])
        assert row["gap"] == str(group["gap"])


def test_groups_of_a_job_of_an_earlier_version_are_the_tighter_parts(suspects: Suspects, services: Services) -> None:
    found = {name: value for name, value in group().items() if name != "parts"}
    with services.database.write() as connection:
        rankings.save_summaries(connection, "job_1", {"groups": {"groups": [found]}})
    (row,) = table_of(suspects("groups", "job_1").out)
    assert (row["part"], row["size"], row["leans_to"], row["sample_ids"]) == ("tighter", "2", "", "row-4,row-1")
