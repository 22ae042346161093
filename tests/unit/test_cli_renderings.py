"""What commands print: for a person, for a program, as JSON, and as ids alone."""

import csv
import io
import json
import re
import sys
from pathlib import Path

import httpx
import pytest
import typer
import typer.core

from docs.scripts.tables import named_commands
from service.services import Services
from service.terminal import cli, console
from service.terminal.console import OutputColumn, Printer
from tests.builders import add_dataset, add_finished, add_job
from tests.unit.test_cli import Suspects, plain, suspects, table_of, terminal

__all__ = ["suspects", "terminal"]  # fixtures

BOXES = re.compile(r"[─-▟]")
# Every command that prints rows about what `stored` has, and the path of the ids in its JSON.
LISTS = {
    ("list",): "id",
    ("datasets",): "id",
    ("models",): "name",
    ("signals",): "name",
    ("signals", "job_1"): "name",
    ("suspects", "job_1"): "sample.id",
    ("verify-next", "job_1"): "sample.id",
    ("draw", "job_1", "--reviewer", "Noor"): "sample_id",
    ("skipped", "ds_1"): "where",
    ("networks",): "id",
    ("connections",): "id",
    ("deliveries",): "id",
}


@pytest.fixture
def stored(services: Services) -> None:
    """A completed job over a dataset."""
    add_finished(services.database, services.blobs)


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("command", [*LISTS, ("groups", "job_1"), ("show", "job_1", "row-1")], ids=" ".join)
def test_a_program_gets_a_header_and_rows_without_colour_or_boxes(
    suspects: Suspects, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for one in (console.console, console.errors):
        monkeypatch.setattr(one, "_width", 20)  # nothing is cut, whatever the width
    said = suspects(*command)
    assert (said.code, "\x1b" in said.out, BOXES.search(said.out)) == (0, False, None)
    lines = said.out.splitlines()
    assert len({line.count("\t") for line in lines}) == 1
    assert all(re.fullmatch(r"\w+", name) for name in lines[0].split("\t"))
    assert "…" not in said.out


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(("command", "name"), LISTS.items(), ids=lambda one: " ".join(one) if one else "")
def test_ids_alone_and_rows_are_those_of_the_json(suspects: Suspects, command: tuple[str, ...], name: str) -> None:
    answer = json.loads(suspects(*command, "--json").out)
    ids = [console.at(item, name) for item in answer["items"]]
    assert suspects(*command, "-q").out.splitlines() == ids
    assert len(table_of(suspects(*command).out)) == len(ids)


@pytest.mark.usefixtures("stored", "terminal")
@pytest.mark.parametrize("command", LISTS, ids=" ".join)
@pytest.mark.parametrize("width", [60, 200])
def test_a_person_gets_a_table_that_fits_the_width(
    suspects: Suspects, command: tuple[str, ...], width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.console, "_width", width)
    said = suspects(*command)
    lines = plain(said.out).splitlines()
    assert said.code == 0
    assert BOXES.search(said.out)
    assert max(map(len, lines)) <= width


@pytest.mark.usefixtures("stored")
def test_numbers_are_whole_for_a_program_and_short_for_a_person(
    suspects: Suspects, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [item["score"] for item in client.get("/jobs/job_1/suspects?by=si").json()["items"]]
    assert [float(row["score"]) for row in table_of(suspects("suspects", "job_1", "--by", "si").out)] == scores
    monkeypatch.setattr(console.console, "_force_terminal", True)
    assert f" {scores[0]:.3f} " in plain(suspects("suspects", "job_1", "--by", "si").out)


@pytest.mark.parametrize("person", [True, False])
@pytest.mark.parametrize("value", ["a\tb", "a\nb", "\x1b[31mred\x1b[0m", "\x9b2J", "a\rb", "[bold]x[/bold]"])
def test_no_value_of_data_moves_or_colours_the_terminal_or_breaks_a_row(
    value: str, person: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console.console, "_force_terminal", person)
    monkeypatch.setattr(console.console, "_width", 200)
    for quiet in (False, True):
        Printer(quiet=quiet).rows({}, [{"id": value}], [OutputColumn("one", "id"), OutputColumn("two", "id")])
        out = plain(capsys.readouterr().out)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out.replace("\t", "", 2))
        assert console.escaped(value) in out
    Printer().line({}, "", value)
    assert plain(capsys.readouterr().out) == f"{console.escaped(value)}\n"


def test_an_error_is_said_once_on_stderr(suspects: Suspects, monkeypatch: pytest.MonkeyPatch) -> None:
    for person in (False, True):
        for one in (console.console, console.errors):
            monkeypatch.setattr(one, "_force_terminal", person)
        said = suspects("suspects", "job_none")
        assert (said.code, said.out) == (1, "")
        assert said.err.count("no job job_none") == 1
        assert bool(BOXES.search(said.err)) is person


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("command", [["suspects", "job_1"], ["export", "job_1", "-o", "never.csv"]])
@pytest.mark.parametrize("option", ["--label", "--suggested", "--verdict"])
def test_an_unknown_class_or_verdict_is_refused_with_the_known_ones(
    suspects: Suspects, command: list[str], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = suspects(*command, option, "nobody")
    known = ("mislabeled", "anomalous", "clean") if option == "--verdict" else ("cat", "dog", "eel")
    assert (said.code, said.out) == (1, "")
    assert all(name in said.err for name in known)
    assert not (tmp_path / "never.csv").exists()


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize(
    ("options", "query"),
    [
        (["--verdict", "mislabeled"], {"verdict": "mislabeled"}),
        (["--label", "dog", "--by", "si"], {"label": "dog", "by": "si"}),
        (["--suggested", "eel"], {"suggested": "eel"}),
        (["--min-score", "0.4"], {"min_score": "0.4"}),
        (["--signals", "si,aai"], {"signals": "si,aai"}),
        (["--min-confidence", "0.5"], {"min_confidence": "0.5"}),
        (["--disagrees"], {"disagrees": "true"}),
        (["--agrees"], {"disagrees": "false"}),
        (["--reviewed"], {"reviewed": "true"}),
        (["--not-reviewed"], {"reviewed": "false"}),
        (["--decision", "remove"], {"decision": "remove"}),
        (["--search", "ROW-1"], {"q": "row-1"}),
    ],
)
def test_every_filter_of_an_export_reaches_the_service(
    suspects: Suspects, client: httpx.Client, tmp_path: Path, options: list[str], query: dict[str, str]
) -> None:
    decisions = [{"sample_id": "row-1", "decision": "remove"}, {"sample_id": "row-4", "decision": "keep"}]
    client.post("/jobs/job_1/reviews", json=decisions).raise_for_status()
    output = tmp_path / "some.csv"
    assert suspects("export", "job_1", "-o", str(output), *options).code == 0
    assert output.read_bytes() == client.get("/jobs/job_1/suspects", params={"format": "csv", **query}).content
    assert output.read_bytes() != client.get("/jobs/job_1/suspects?format=csv").content


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("command", [["suspects", "job_1"], ["export", "job_1", "-o", "some.csv"]])
def test_the_first_ranking_is_asked_for_by_its_stage(
    suspects: Suspects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert suspects(*command, "--stage", "full").code == 0
    refused = suspects(*command, "--stage", "quick")
    assert (refused.code, "first ranking" in refused.err) == (1, True)


def test_the_commands_have_every_filter_of_the_ranking(client: httpx.Client) -> None:
    parameters = client.get("/openapi.json").json()["paths"]["/jobs/{job_id}/suspects"]["get"]["parameters"]
    page = {"limit", "cursor", "offset", "ids"}  # parts of a ranking
    file = {"format", "signals", "raw", "field", "about", "root"}  # the form of a file
    filters = {one["name"] for one in parameters if one["in"] == "query"} - page - file
    known = commands()
    for name in ("suspects", "export"):
        options = {one.name for one in known[name].params}
        assert filters - options == {"q"}, name
        assert "search" in options, name  # `-q` is --quiet


@pytest.mark.parametrize("port", ["0", "65536", "-1", "many"])
@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_port_that_is_none_is_a_usage_error(suspects: Suspects, command: str, port: str) -> None:
    said = suspects(command, "--port", port)
    assert (said.code, said.out, "--port" in said.err) == (2, "", True)


def test_an_interrupted_command_ends_with_130(suspects: Suspects, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("usual_suspects.client.Client.get", interrupt)
    assert suspects("list").code == 130


def commands() -> dict[str, typer.core.TyperCommand]:
    group = typer.main.get_command(cli.app)
    assert isinstance(group, typer.core.TyperGroup)
    return dict(named_commands(group))


def test_every_command_has_json_and_quiet() -> None:
    others = {"corrected", "mcp"}  # their output is the file, and the protocol
    for name, command in commands().items():
        options = {option for parameter in command.params for option in parameter.opts}
        assert name in others or {"--json", "--quiet", "-q"} <= options, name


def test_help_for_a_program_is_not_cut(suspects: Suspects) -> None:
    said = suspects("--help")
    assert (said.code, BOXES.search(said.out), re.findall(r"\S+\w\.\.\.$", said.out, re.MULTILINE)) == (0, None, [])
    assert set(re.findall(r"^  (\S+)  ", said.out, re.MULTILINE)) >= {"review", "doctor", "diff", "verify-next"}


@pytest.mark.parametrize(
    ("command", "variable"),
    [
        (["connect", "https://labels.example.org"], "LABEL_STUDIO_TOKEN"),
        (["doccano", "submit", "--project", "1", "--doccano", "http://127.0.0.1:1", "--user", "a"], "DOCCANO_PASSWORD"),
    ],
)
def test_a_secret_is_not_asked_for_where_nobody_can_answer(
    suspects: Suspects, command: list[str], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.StringIO("not for a prompt\n")  # as every file, it is no terminal
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.delenv(variable, raising=False)
    said = suspects(*command)
    assert (said.code, said.out, variable in said.err, stdin.tell()) == (2, "", True, 0)


def test_a_submitted_job_is_printed_as_its_id_alone(suspects: Suspects, tmp_path: Path, client: httpx.Client) -> None:
    path = tmp_path / "few.csv"
    path.write_text("a,b,animal\n" + "".join(f"{i},{i % 7},{'cat' if i % 2 else 'dog'}\n" for i in range(30)))
    said = suspects("submit", str(path), "--label", "animal", "--no-watch", "-q")
    (job,) = client.get("/jobs").json()["items"]
    assert said.out == f"{job['id']}\n"
    shown = json.loads(suspects("submit", str(path), "--label", "animal", "--no-watch", "--json").out)
    assert shown["state"] == "queued"


def test_commands_that_change_a_job_print_json(suspects: Suspects, services: Services) -> None:
    add_job(services.database, add_dataset(services.database, blobs=services.blobs))
    assert json.loads(suspects("cancel", "job_1", "--json").out)["state"] == "cancelled"
    assert suspects("retry", "job_1", "-q").out == "job_1\n"
    suspects("cancel", "job_1")
    assert json.loads(suspects("delete", "job_1", "--json").out) == {"id": "job_1", "deleted": True}


def test_rows_for_a_program_are_read_by_csv(suspects: Suspects, services: Services, client: httpx.Client) -> None:
    add_finished(services.database, services.blobs, classes=['"cat', "dog, eel", "[red]x"])
    rows = list(csv.DictReader(io.StringIO(suspects("suspects", "job_1").out), delimiter="\t", quoting=csv.QUOTE_NONE))
    items = client.get("/jobs/job_1/suspects").json()["items"]
    assert [row["given_label"] for row in rows] == [item["given_label"] for item in items]
