"""What `suspects annotators` prints of the people who labelled."""

import json

import pytest

from service.ingest.votes import VoteFile, table_of
from service.services import Services
from service.terminal import console
from tests.builders import add_finished, ranking
from tests.unit.test_cli import Suspects, plain, suspects, terminal
from tests.unit.test_cli import table_of as rows_of

__all__ = ["suspects", "terminal"]  # fixtures

NAMES = ["Ann", "Zoë\t[red]\x1b[31m"]


@pytest.fixture(autouse=True)
def stored(services: Services) -> None:
    """A completed job over samples of which the first person labelled those that are flagged."""
    info = add_finished(services.database, services.blobs, rows=80, splits={"train": 80, "test": 0})
    rows = ranking(info).to_pylist()
    with VoteFile(services.blobs.votes("ds_1")) as file:
        file.add(table_of([(row["index"], NAMES[row["verdict"] != "mislabeled"], row["given_label"]) for row in rows]))


def test_a_program_gets_every_number_and_an_escaped_name(suspects: Suspects) -> None:
    items = json.loads(suspects("annotators", "job_1", "--json").out)["items"]
    found = rows_of(suspects("annotators", "job_1").out)
    assert [row["annotator"] for row in found] == [console.escaped(name) for name in NAMES]
    assert [row["stands_out"] for row in found] == ["true", "false"]
    for row, item in zip(found, items, strict=True):
        assert [int(row[name]) for name in ("labelled", "doubted")] == [item["labelled"], item["doubted"]]
        assert float(row["doubted_low"]) == item["doubted_share"]["low"]
    assert suspects("annotators", "job_1", "-q").out.splitlines() == [console.escaped(name) for name in NAMES]


@pytest.mark.usefixtures("terminal")
def test_a_person_reads_what_the_differences_mean(suspects: Suspects) -> None:
    said = plain((answer := suspects("annotators", "job_1")).out + answer.err)
    assert "2 people, 16 of 80 labels doubted" in said
    assert "100.0% (80.6% to 100.0%), others 0.0%" in said
    assert "no proof" in " ".join(said.split())
