"""Every format of the list has a writer and a golden file, and is what the API, the command line and the page offer."""

import io
import json
import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from service.api.exports.export import Export
from service.api.exports.tables import columns
from service.api.exports.writers import WRITERS
from service.domain.exports import EXPORT_FORMATS
from service.platforms.exports import ExportContext
from service.terminal.cli import app as command_line
from tests.builders import NOON

GOLDEN = Path(__file__).parents[1] / "platforms" / "golden"
TABLES = [name for name, form in EXPORT_FORMATS.items() if not form.is_for_tool]
EXPORT = Export(columns(["mislabeled", "si"]), ExportContext("job_1", "tabular", ("cat", "dog")), Path("/nowhere"))


def row(rank: int, sample_id: str, planted: str | None = None) -> dict[str, Any]:
    score = 1 - rank / 8
    return {
        "rank": rank,
        "sample_id": sample_id,
        "path": None if rank == 3 else f"a, b/{rank}.png",
        "index": 10 - rank,
        "position": 0,
        "given_label": "cat",
        "suggested_label": "dog",
        "suggested_confidence": 0.1 + 0.2,
        "score": score,
        "verdict": "mislabeled" if rank == 1 else "clean",
        "decision": "relabel" if rank == 1 else None,
        "decided_label": "dog" if rank == 1 else None,
        "reviewer": "Noor" if rank == 1 else None,
        "reviewed_at": NOON if rank == 1 else None,
        "planted_kind": planted and "mislabeled_uniform",
        "planted_label": planted,
        "mislabeled": score,
        "si": 1e-300 * rank,
    }


CHUNKS = ([row(1, "row-9", "dog"), row(2, 'a "quoted", name\nof two lines')], [row(3, "猫")])


def written(name: str, chunks: Sequence[list[dict[str, Any]]]) -> bytes:
    return b"".join(WRITERS[name](chunks, EXPORT))


def test_every_format_has_a_writer_and_a_golden_file_for_all_that_it_is_for() -> None:
    assert WRITERS.keys() == EXPORT_FORMATS.keys()
    wanted = {
        f"{name}.{modality}" if modality else name
        for name, form in EXPORT_FORMATS.items()
        for modality in form.modalities or [None]
    }
    assert {path.stem for path in GOLDEN.iterdir()} == wanted


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_its_golden_file(name: str) -> None:
    (golden,) = GOLDEN.glob(f"{name}.*")
    content = written(name, CHUNKS)
    if EXPORT_FORMATS[name].is_text:
        assert content == golden.read_bytes()
    else:
        assert pq.read_table(io.BytesIO(content)).to_pylist() == [
            {**one, "reviewed_at": one["reviewed_at"] and datetime.fromisoformat(one["reviewed_at"])}
            for one in json.loads(golden.read_text())
        ]


@pytest.mark.parametrize("name", [name for name in TABLES if EXPORT_FORMATS[name].is_text])
def test_a_table_does_not_depend_on_how_its_rows_come(name: str) -> None:
    every = [one for chunk in CHUNKS for one in chunk]
    assert written(name, [every]) == written(name, [[one] for one in every]) == written(name, CHUNKS)


def test_the_description_the_command_line_and_the_page_offer_the_formats_of_the_list(client: httpx.Client) -> None:
    described = client.get("/openapi.json").json()["paths"]["/jobs/{job_id}/suspects"]["get"]["parameters"]
    (parameter,) = (one for one in described if one["name"] == "format")
    assert parameter["schema"]["enum"] == ["json", *EXPORT_FORMATS]
    shown = CliRunner().invoke(command_line, ["export", "--help"], env={"COLUMNS": "400"}).stdout
    assert all(re.search(rf"\b{name}\b", shown) for name in EXPORT_FORMATS)
    listed = client.get("/web/exports.json").json()
    assert {one["name"]: one["modalities"] for one in listed} == {
        name: form.modalities and list(form.modalities) for name, form in EXPORT_FORMATS.items()
    }
