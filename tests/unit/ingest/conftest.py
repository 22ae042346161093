"""One way to ingest bytes."""

from pathlib import Path
from typing import Any

import pytest

from service.domain.dataset import DatasetSpec, SkippedRow
from service.ingest import Limits, ingest
from service.store.blobs import VOTES_FILE
from tests.unit.ingest.uploads import Outcome, Take, check_agreement


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Ingest bytes under a file name. Nothing but its files may be left, and nothing at all after an error."""

    def ingested(content: bytes | str, name: str = "data.csv", limits: Limits | None = None, **spec: Any) -> Outcome:
        source, folder = tmp_path / "upload", tmp_path / "out"
        source.write_bytes(content if isinstance(content, bytes) else content.encode())
        data, skipped = folder / "data.parquet", folder / "skipped.jsonl"
        for old in folder.glob("*"):
            old.unlink()
        try:
            found = ingest(source, name, DatasetSpec(**spec), data, skipped, limits or Limits())
        except Exception:
            assert list(folder.glob("**/*")) == []
            raise
        assert {path.name for path in folder.glob("**/*")} - {VOTES_FILE} == {"data.parquet", "skipped.jsonl"}
        rows = [SkippedRow.model_validate_json(line) for line in skipped.read_text().splitlines()]
        outcome = Outcome(found, data, rows)
        check_agreement(outcome)
        return outcome

    return ingested
