"""First rankings, which jobs give while they compute. The final ranking replaces them in the database; files keep them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.domain.errors import Damaged
from service.store import ranking_columns
from service.store.ranking_columns import RankingColumns
from service.store.seal import read_checked, sealed_write

_RESULT = "result.json"


def save(folder: Path, table: pa.Table, result: Mapping[str, Any], columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a first ranking, in place of that of an earlier attempt.

    `table` has the columns of `suspects`, `columns` further ones in the same order of rows; `result` is the job's meanwhile.
    """
    scores = {f"score-{by}": table.column(by).to_numpy().astype(np.float64) for by in result["signals"]}
    ranking_columns.save(folder, table, result["signals"], {**columns, **scores})
    with sealed_write(folder / _RESULT) as part:
        part.write_text(json.dumps(result))


def result(folder: Path) -> dict[str, Any] | None:
    """The result that the job had with its first ranking; None where none was kept, or it is damaged."""
    try:
        found: dict[str, Any] = json.loads(read_checked(folder / _RESULT))
    except (FileNotFoundError, Damaged):
        return None
    return found


def told(columns: RankingColumns, row: int) -> dict[str, Any]:
    """What a first ranking says of a row of its columns, by columns of `suspects`."""
    return {
        "suggested_label": columns.labels[columns.suggested[row]],
        "suggested_confidence": float(columns.confidence[row]),
        "verdict": columns.verdicts[columns.verdict[row]],
        **{by: float(values[row]) for by, values in columns.scores.items()},
    }
