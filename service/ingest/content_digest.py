"""Digests of the samples of a dataset, by which a corrected file that is uploaded again is known as the same dataset.

The digest is of the set of samples: id, label, split, group and inputs of each, whatever their order and positions. An id that
the service made itself (`row-<n>`, or an image's path) says where a sample stood and is left out. Class names and not their
numbers are compared, so that a class without samples makes no difference.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from service.store import fingerprints

_WORD = 2**64
_OWN = "row-"


class ContentDigest:
    """The digest of the samples that were added, group by group. Two different sets agree with a probability of 2^-64."""

    def __init__(self, names: Mapping[str, str]) -> None:
        """`names` are those of the inputs in the upload, by their columns in the canonical file."""
        self._columns = sorted(names, key=lambda column: names[column])
        self._names = [names[column] for column in self._columns]
        self._rows = self._sum = 0

    def inputs_of(self, group: Any) -> fingerprints.Hashes:
        """One fingerprint of the inputs of each row of a canonical table."""
        return fingerprints.of_rows([_whole(group.column(name)) for name in self._columns])

    def add(self, group: Any, classes: Sequence[str], inputs: fingerprints.Hashes) -> None:
        """Add the rows of a canonical table; `classes` are the names of its labels, `inputs` is what `inputs_of` gives."""
        columns = [_named(group.column("label"), classes), _ids(group), group.column("split")]
        columns += [group.column("group")] if "group" in group.schema.names else []
        others = fingerprints.of_rows([_whole(one) for one in columns])
        hashes = fingerprints.mixed(inputs * np.uint64(31) + others)
        self._rows += len(group)
        self._sum = (self._sum + int(np.add.reduce(hashes, dtype=np.uint64))) % _WORD

    def hexdigest(self) -> str:
        """The digest as `sha256:…`."""
        said = repr((self._names, self._rows, self._sum))
        return f"sha256:{hashlib.sha256(said.encode()).hexdigest()}"


def _whole(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _named(labels: Any, classes: Sequence[str]) -> Any:
    return pa.DictionaryArray.from_arrays(_whole(labels), pa.array(classes, pa.string()))


def _ids(group: Any) -> Any:
    """The ids that are the client's; null for the service's own."""
    ids, positions = group.column("id"), group.column("index")
    paths = group.column("path") if "path" in group.schema.names else None
    if paths is None and not pc.any(pc.starts_with(ids, _OWN)).as_py():
        return ids
    own = pc.equal(ids, pc.binary_join_element_wise(_OWN, pc.cast(positions, pa.string()), ""))
    if paths is not None:
        own = pc.or_(own, pc.fill_null(pc.equal(ids, paths), fill_value=False))
    return pc.if_else(own, pa.scalar(None, pa.string()), ids)
