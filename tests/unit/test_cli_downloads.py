"""Files that commands write: exports, reports and corrected files."""

from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from service.actions.find import find_dataset
from service.services import Services
from service.terminal import dataset_commands
from tests.builders import CSV, add_dataset, add_finished, add_job, finish, ranking_of
from tests.unit.api.downloads import corrected, uploaded
from tests.unit.test_cli import Suspects, suspects
from usual_suspects.client import Client

__all__ = ["suspects"]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_an_export_holds_the_whole_ranking(
    suspects: Suspects, services: Services, client: httpx.Client, tmp_path: Path, form: str
) -> None:
    add_finished(services.database, services.blobs)
    output = tmp_path / f"ranking.{form}"
    assert suspects("export", "job_1", "--format", form, "--output", str(output)).code == 0
    expected = client.get("/jobs/job_1/suspects", params={"format": form}).content
    assert output.read_bytes() == expected
    assert form != "parquet" or pq.read_table(output).num_rows == 9
    assert sorted(tmp_path.glob("ranking*")) == [output]


@pytest.mark.parametrize(
    ("options", "name", "form"),
    [
        ([], "job_1-report.html", "html"),
        (["--format", "md"], "job_1-report.md", "md"),
        (["--output", "mine.md"], "mine.md", "md"),
        (["-o", "mine.txt", "--format", "md"], "mine.txt", "md"),
        (["-o", "mine"], "mine", "html"),
    ],
)
def test_a_report_is_written_as_the_service_gives_it(
    suspects: Suspects,
    services: Services,
    client: httpx.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    name: str,
    form: str,
) -> None:
    add_finished(services.database, services.blobs)
    folder = tmp_path / "reports"
    folder.mkdir()
    monkeypatch.chdir(folder)
    said = suspects("report", "job_1", *options)
    assert (said.code, said.out) == (0, f"{name} written\n")
    assert (folder / name).read_bytes() == client.get("/jobs/job_1/report", params={"format": form}).content
    assert [one.name for one in folder.iterdir()] == [name]


def test_a_report_that_is_not_there_leaves_no_file(
    suspects: Suspects, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    add_job(services.database, add_dataset(services.database))
    waiting = suspects("report", "job_1")
    assert (waiting.code, "the job is queued" in waiting.err) == (1, True)
    assert list(tmp_path.glob("*report*")) == []


def test_an_export_that_fails_leaves_the_file_as_it_was(suspects: Suspects, tmp_path: Path) -> None:
    output = tmp_path / "kept.csv"
    output.write_text("kept")
    assert suspects("export", "job_none", "--output", str(output)).code == 1
    assert output.read_text() == "kept"
    refused = suspects("export", "job_none", "--output", str(tmp_path / "no" / "such.csv"))
    assert refused.code == 1
    assert sorted(one.name for one in tmp_path.glob("*.part")) == []


def test_corrected_writes_the_version_that_the_reviews_make(
    suspects: Suspects, client: httpx.Client, services: Services, tmp_path: Path
) -> None:
    info = uploaded(client, CSV, "animals.csv", label="animal")
    corrected(client, services, info["id"], {"row-4": "cat", "row-6": None})
    lines = CSV.decode().splitlines()
    lines[5] = lines[5].replace("dog", "cat")
    del lines[7]
    said = suspects("corrected", "job_1")
    assert (said.code, said.out.splitlines()) == (0, lines)
    assert "1 relabelled, 1 removed" in said.err
    assert client.get(f"/datasets/{info['id']}/versions").json()["total"] == 1
    assert suspects("corrected", "job_1", "-o", str(tmp_path / "fixed.csv")).code == 0
    assert (tmp_path / "fixed.csv").read_text().splitlines() == lines
    with Client(str(client.base_url)) as opened:
        assert opened.job("job_1").corrected(path=tmp_path / "own.csv") == tmp_path / "own.csv"
        assert (tmp_path / "own.csv").read_text().splitlines() == lines
        opened.job("job_1").version().download(tmp_path / "own.parquet", "parquet")
    assert pq.read_table(tmp_path / "own.parquet").num_rows == 59
    refused = suspects("corrected", "job_1", "--format", "zip", "-o", str(tmp_path / "none.zip"))
    assert (refused.code, "csv, parquet, jsonl" in " ".join(refused.err.split())) == (1, True)
    assert not (tmp_path / "none.zip").exists()


def test_texts_of_csv_are_left_as_they_are_on_request(
    suspects: Suspects, client: httpx.Client, services: Services, tmp_path: Path
) -> None:
    content = "\n".join(["kind,label", *(f"{['=a', '@b', 'c'][row % 3]},{['-', '+'][row % 2]}" for row in range(30))])
    info = uploaded(client, content.encode(), "signs.csv", label="label")
    corrected(client, services, info["id"], {"row-0": "+"})
    safe, raw = (suspects("corrected", "job_1", "--format", "csv", *option) for option in ([], ["--raw"]))
    assert ("'=a" in safe.out, "'=a" in raw.out, "=a" in raw.out) == (True, False, True)
    output = tmp_path / "ranking.csv"
    for option, is_safe in (([], True), (["--raw"], False)):
        assert suspects("export", "job_1", "-o", str(output), *option).code == 0
        assert ("'+" in output.read_text()) == is_safe


def test_binary_files_are_not_written_to_a_terminal(
    suspects: Suspects, client: httpx.Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = uploaded(client, CSV, "animals.csv", label="animal")
    corrected(client, services, info["id"], {"row-4": "cat"})
    monkeypatch.setattr(dataset_commands, "_is_terminal", lambda: True)
    refused = suspects("corrected", "job_1", "--format", "parquet")
    assert (refused.code, refused.out, "-o FILE" in refused.err) == (1, "", True)
    assert suspects("corrected", "job_1").out.startswith("weight,colour,animal")


def test_corrected_is_the_dataset_where_nothing_is_to_be_corrected(
    suspects: Suspects, client: httpx.Client, services: Services, tmp_path: Path
) -> None:
    info = uploaded(client, CSV, "animals.csv", label="animal")
    dataset = find_dataset(services, info["id"])
    add_job(services.database, dataset)
    finish(services.database, "job_1", dataset, table=ranking_of(services.blobs, dataset))
    said = suspects("corrected", "job_1")
    assert (said.code, said.out) == (0, CSV.decode())
    assert "nothing is to be corrected" in said.err
    refused = suspects("version", "job_1")
    assert (refused.code, "review samples first" in refused.err, "POST /jobs" in refused.err) == (1, True, False)


def test_a_corrected_file_has_the_form_of_its_ending(
    suspects: Suspects, client: httpx.Client, services: Services, tmp_path: Path
) -> None:
    info = uploaded(client, CSV, "animals.csv", label="animal")
    corrected(client, services, info["id"], {"row-4": "cat"})
    output = tmp_path / "fixed.parquet"
    assert suspects("corrected", "job_1", "-o", str(output)).code == 0
    assert pq.read_table(output).num_rows == 60
    refused = suspects("corrected", "job_1", "-o", str(tmp_path / "fixed.docx"))
    assert (refused.code, ".parquet" in refused.err, (tmp_path / "fixed.docx").exists()) == (1, True, False)
    assert suspects("corrected", "job_1", "-o", "-", "--format", "csv").out.startswith("id,")


@pytest.mark.parametrize(
    ("verb", "route", "asked"),
    [("export", "suspects", {"format": "csv"}), ("report", "report", {"format": "html"})],
)
def test_a_dash_is_the_standard_output(
    suspects: Suspects,
    services: Services,
    client: httpx.Client,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    route: str,
    asked: dict[str, str],
) -> None:
    add_finished(services.database, services.blobs)
    monkeypatch.chdir(tmp_path)
    said = suspects(verb, "job_1", "-o", "-")
    assert (said.code, said.out) == (0, client.get(f"/jobs/job_1/{route}", params=asked).text)
    assert not (tmp_path / "-").exists()
    assert suspects(verb, "job_none", "-o", "-").out == ""
