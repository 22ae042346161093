"""Skipped rows of a dataset, read some at a time."""

import json
from pathlib import Path

from service.domain.dataset import SkippedRow
from service.store.seal import open_checked


def read_skipped(path: Path, offset: int, limit: int) -> tuple[list[SkippedRow], int | None]:
    """At most `limit` rows from a byte offset on, and the offset of the next row; None at the end.

    A dataset without skipped rows may lack the file. Raises Damaged, and LookupError for an offset at which no row begins.
    """
    if not path.exists() or not 0 <= offset <= path.stat().st_size:
        return [], None
    with open_checked(path) as file:
        file.seek(max(offset - 1, 0))
        if offset and file.read(1) != b"\n":
            raise LookupError(f"no row begins at byte {offset}")
        rows = [SkippedRow.model_validate(json.loads(line)) for _, line in zip(range(limit), file, strict=False)]
        return rows, file.tell() if file.peek(1) else None
