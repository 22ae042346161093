"""Who gave which label: the votes of a dataset, in a file beside its canonical one.

The file is there where annotators are known. Its rows are in the order of the upload, several for a sample that several people labelled:

=========== ====== ==================================================================================================
`index`     int64  position in the upload, also of rows that were skipped since their annotators are in conflict;
                   negative for tasks of a project that gave no sample
`annotator` string name or id
`label`     string the class that this person gave; corrections of the dataset do not change it
=========== ====== ==================================================================================================
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from service.store.seal import open_parquet

SCHEMA = pa.schema([("index", pa.int64()), ("annotator", pa.string()), ("label", pa.string())])
_COMPRESSION = "zstd"
Array = npt.NDArray[Any]


class VoteFile:
    """A file of votes that is written some at a time. It is made with the first of them; without any there is none."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._writer: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()

    def add(self, votes: pa.Table) -> None:
        """Write some votes, of `SCHEMA`."""
        if len(votes):
            if self._writer is None:
                self._writer = pq.ParquetWriter(self._path, SCHEMA, compression=_COMPRESSION)
            self._writer.write_table(votes)


def table_of(given: Sequence[tuple[int, str, str]]) -> pa.Table:
    """Votes as a table: position in the upload, annotator and label of each."""
    columns = zip(*given, strict=True) if given else ([], [], [])
    return pa.table(list(map(list, columns)), schema=SCHEMA)


@dataclass(frozen=True)
class Votes:
    """All v votes of a dataset, ordered by position in the upload.

    `annotator` and `label`, int32 v, are places in `annotators` and in `labels`.
    """

    index: Array
    annotator: Array
    label: Array
    annotators: tuple[str, ...]
    labels: tuple[str, ...]


def read_votes(path: Path) -> Votes | None:
    """The votes of a dataset; None where no annotator is known. Memory: 16 bytes a vote. Raises Damaged."""
    if not path.exists():
        return None
    parts: list[tuple[Array, Array, Array]] = []
    annotators: dict[str, int] = {}
    labels: dict[str, int] = {}
    with open_parquet(path) as file:
        for number in range(file.metadata.num_row_groups):
            group = file.read_row_group(number)
            index = group.column("index").to_numpy()
            parts.append(
                (index, _places(group.column("annotator"), annotators), _places(group.column("label"), labels))
            )
    index, annotator, label = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(index, kind="stable")
    return Votes(index[order], annotator[order], label[order], tuple(annotators), tuple(labels))


def _places(texts: Any, known: dict[str, int]) -> Array:
    """The place of each text in `known`, to which new ones are added: int32."""
    codes = texts.combine_chunks().dictionary_encode()
    places = [known.setdefault(text, len(known)) for text in codes.dictionary.to_pylist()]
    found: Array = np.array(places, np.int32)[codes.indices.to_numpy()]
    return found


def renamed(votes: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """The votes with each label by the name of its class; what is the label of no sample stays as it is."""
    codes = votes.column("label").combine_chunks().dictionary_encode()
    labels = [names.get(text.strip(), text.strip()) for text in codes.dictionary.to_pylist()]
    classes = pa.array(labels, pa.string()).take(codes.indices)
    return votes.set_column(votes.schema.get_field_index("label"), SCHEMA.field("label"), classes)
