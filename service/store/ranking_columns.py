"""Columns of a finished ranking in memory-mapped files: its filters, and the order by each signal.

A version of a ranking never changes, and no index of a database serves every filter in every order. One folder a version, n ranked
samples, ordered by their index in the dataset; a *row* below is a place in that order:

===================== ======== =========================================================================
`index`, `position`   int64 n  as in the table `suspects`
`given`, `suggested`  int32 n  places in the header's `labels`
`verdict`             int8 n   place in the header's `verdicts`
`confidence`          f8 n     that of the suggested label
`ids.*`               -        the sample ids, to be searched (service.store.substrings)
`wrong`               f4 n     probability that the given label is wrong
`part`                int8 n   1 in the tighter part of its label, 2 in the looser one, 0 where the label has none
`map-pca`, `map-umap` f4 nx2  coordinates on a map of the samples; NaN for those that it leaves out
`score-SIGNAL`        float64 n the scores; a first ranking alone, as those of any other are in the table
`order-SIGNAL`        int32 m  the m rows with a score, most suspicious first, ties by index
`steps-SIGNAL`        float64  the score at every 256th place of that order, from the first place on
===================== ======== =========================================================================

A worker writes them with the ranking. Those of jobs of earlier versions are made of the table when they are asked for first;
they lack `wrong`, `part` and the maps, which are not in it. Steps may be missing: they only make it quicker to find a score.
"""

import json
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sqlalchemy as sa
import structlog

from service.domain.errors import Damaged
from service.store import substrings
from service.store.seal import (
    FOLDER_SEAL,
    check_once,
    open_array,
    put_in_place,
    read_checked,
    seal_folder,
    sealed_write,
    unfinished,
)
from service.store.tables import suspects

Array = npt.NDArray[Any]
_STEP = 256
_MAPPED = 256  # files that are kept open, each of which takes a descriptor
_COLUMNS = ("index", "position", "sample_id", "given_label", "suggested_label", "suggested_confidence", "verdict")
_BASE = (
    "header.json",
    *(f"{name}.npy" for name in ("index", "position", "given", "suggested", "verdict", "confidence", "ids-starts")),
    "ids.bytes",
)
_FILTERS = {"index", "given_label", "suggested_label", "suggested_confidence", "verdict"}
_CHUNK = 20_000
log = structlog.get_logger()
_making = threading.Lock()


@dataclass(frozen=True)
class RankingColumns:
    """The opened columns of one ranking; arrays are read from the files where they are used."""

    folder: Path
    labels: tuple[str, ...]
    verdicts: tuple[str, ...]
    counts: Mapping[str, int]  # of samples, by verdict
    is_current: bool = True  # whether the table has this version of the ranking

    def __len__(self) -> int:
        return sum(self.counts.values())

    @cached_property
    def index(self) -> Array:
        """Positions in the upload, ascending."""
        return self._opened("index")

    @cached_property
    def position(self) -> Array:
        """Rows of the canonical file."""
        return self._opened("position")

    @cached_property
    def given(self) -> Array:
        """Given labels, as places in `labels`."""
        return self._opened("given")

    @cached_property
    def suggested(self) -> Array:
        """Suggested labels, as places in `labels`."""
        return self._opened("suggested")

    @cached_property
    def verdict(self) -> Array:
        """Verdicts, as places in `verdicts`."""
        return self._opened("verdict")

    def with_verdict(self, name: str) -> Array:
        """Which samples carry a verdict: bool n."""
        found: Array = self.verdict == (self.verdicts.index(name) if name in self.verdicts else -1)
        return found

    @cached_property
    def confidence(self) -> Array:
        """Confidence of the suggested labels."""
        return self._opened("confidence")

    @cached_property
    def wrong(self) -> Array | None:
        """Probability that each given label is wrong; None for jobs of earlier versions."""
        return self._optional("wrong")

    @cached_property
    def part(self) -> Array | None:
        """Numbers of service.domain.label_part; None for jobs of earlier versions, and where samples have no features."""
        return self._optional("part")

    @cached_property
    def scores(self) -> Mapping[str, Array]:
        """Scores of a first ranking by signal, f8 n each. Empty for any other ranking, whose scores are in the table."""
        names = sorted(path.stem for path in self.folder.glob("score-*.npy"))
        return {name.removeprefix("score-"): self._opened(name) for name in names}

    def coordinates(self, method: str) -> Array | None:
        """Places on the map of this name, NaN for samples that it leaves out: f4 nx2; None where there is none."""
        return self._optional(f"map-{method}")

    def rows_at(self, index: Sequence[int] | Array) -> Array:
        """The rows of samples by their index in the upload; every one must be ranked."""
        return np.searchsorted(self.index, np.asarray(index, np.int64))

    def rows_at_positions(self, positions: Sequence[int]) -> Array:
        """The rows of those samples that are ranked, by their rows of the canonical file, in that order."""
        if not len(self):
            return np.zeros(0, np.int64)
        wanted, by_position = np.asarray(positions, np.int64), self._by_position
        places = np.searchsorted(self.position, wanted, sorter=by_position)
        found: Array = by_position[np.minimum(places, len(self) - 1)]
        ranked: Array = found[self.position[found] == wanted]
        return ranked

    @cached_property
    def _by_position(self) -> Array:
        return np.argsort(self.position, kind="stable")

    def with_id(self, part: str) -> Array:
        """Which samples have ids that contain `part`, whatever the case."""
        return substrings.containing(self.folder, "ids", part)

    def order(self, connection: sa.Connection, job_id: str, by: str) -> Array:
        """The rows by a signal, most suspicious first. Sorted now where no worker has written it down."""
        path = self.folder / f"order-{by}.npy"
        if not _is_sound(path):
            _check_current(self.folder, self.is_current)
            score = sa.select(suspects.c[by]).where(suspects.c.job_id == job_id).order_by(suspects.c.index)
            with connection.execute(score, execution_options={"yield_per": _CHUNK}).scalars() as values:
                scores = np.fromiter((np.nan if value is None else value for value in values), np.float64, len(self))
            with sealed_write(path) as part, part.open("wb") as file:
                np.save(file, _sorted(scores))
        return _opened(path)

    def has_orders(self, signals: Iterable[str]) -> bool:
        """Whether the order by each of these signals was written down."""
        return all(_is_sound(self.folder / f"order-{by}.npy") for by in signals)

    def bounds(self, by: str, score: float) -> tuple[int, int]:
        """Two places of the order: all scores before the first are above `score`, all from the second on below it."""
        order = _opened(self.folder / f"order-{by}.npy")
        path = self.folder / f"steps-{by}.npy"
        if not path.exists() or not _is_sound(path):
            return 0, len(order)
        steps = _opened(path)
        above = int(np.searchsorted(-steps, -score, side="left"))
        not_below = int(np.searchsorted(-steps, -score, side="right"))
        return max(0, above - 1) * _STEP, min(not_below * _STEP, len(order))

    def rank(self, by: str, row: int, score: float) -> int:
        """The rank of a row by a signal, of which it has this score; 1 = most suspicious. The order must be written down."""
        order = _opened(self.folder / f"order-{by}.npy")
        first, end = self.bounds(by, score)
        found = np.flatnonzero(order[first:end] == row)
        if not len(found):  # the score is that of another version, which was written just now
            first, found = 0, np.flatnonzero(order == row)
        return first + int(found[0]) + 1

    def _optional(self, name: str) -> Array | None:
        return self._opened(name) if (self.folder / f"{name}.npy").exists() else None

    def _opened(self, name: str) -> Array:
        return _opened(self.folder / f"{name}.npy")


def save(
    folder: Path, table: pa.Table, signals: Sequence[str], columns: Mapping[str, Array] = MappingProxyType({})
) -> None:
    """Write the columns of a ranking and its order by each signal, in place of those of an earlier attempt.

    `table` has the columns of `suspects`, `columns` further ones in the same order of rows.
    """
    rows = np.argsort(table.column("index").to_numpy(), kind="stable")
    table = table.take(rows)
    part = _begun(folder)
    with unfinished(part):
        for name, values in columns.items():
            np.save(part / f"{name}.npy", values[rows])
        _save_columns(part, table)
        for by in signals:
            scores = table.column(by).to_numpy()
            order = _sorted(scores)
            np.save(part / f"order-{by}.npy", order)
            np.save(part / f"steps-{by}.npy", scores[order[::_STEP]])
        seal_folder(part)
    put_in_place(part, folder)


def save_version(
    folder: Path,
    before: Path,
    table: pa.Table,
    columns: Mapping[str, Array],
) -> None:
    """Write the columns of another version of a ranking, in place of those of an earlier attempt.

    `before` has those of the version before, which are shared but for what changed. `table` has the changed columns of `suspects`, and
    `columns` further ones, in the order of rows.
    """
    part = _begun(folder)
    with unfinished(part):
        scores = set(table.column_names) - _FILTERS
        rewritten = {"header.json", FOLDER_SEAL, *(f"order-{by}.npy{end}" for by in scores for end in ("", ".seal"))}
        for path in before.iterdir():
            if path.name not in rewritten:
                _share(path, part / path.name)
        header = json.loads(read_checked(before / "header.json"))
        given = np.array(header["labels"], dtype=object)[open_array(before / "given.npy")]
        table = table.append_column("given_label", pa.array(given, pa.string()))
        counts = _save_filters(part, table)
        (part / "header.json").write_text(json.dumps(counts))
        for name, values in columns.items():
            _save(part / f"{name}.npy", values)
        for by in scores:
            _save(part / f"order-{by}.npy", _sorted(table.column(by).to_numpy()))
        seal_folder(part)
    put_in_place(part, folder)


def _share(path: Path, copy: Path) -> None:
    try:
        copy.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copyfile(path, copy)


def _save(path: Path, values: Array) -> None:
    # What is shared with an earlier version must not be written through.
    path.unlink(missing_ok=True)
    np.save(path, values)


def opened(connection: sa.Connection, folder: Path, job_id: str, *, is_current: bool = True) -> RankingColumns:
    """The columns of a completed job, made of its table where no worker has written them down, or some are damaged.

    Raises Damaged where they are those of an earlier version of the ranking, which the table has no more.
    """
    if _lost(folder):
        _check_current(folder, is_current)
        # Threads that ask for the same ranking at once wait for the one that makes it: nobody's files are taken away.
        with _making:
            if lost := _lost(folder):
                _make(connection, folder, job_id, lost)
    header = json.loads(read_checked(folder / "header.json"))
    return RankingColumns(folder, tuple(header["labels"]), tuple(header["verdicts"]), header["counts"], is_current)


def _lost(folder: Path) -> list[str]:
    return [name for name in _BASE if not _is_sound(folder / name)]


def _make(connection: sa.Connection, folder: Path, job_id: str, lost: Sequence[str]) -> None:
    part = _begun(folder)
    with unfinished(part):
        _save_columns(part, _read(connection, job_id))
        if folder.exists():
            log.warning("ranking columns made again", job=job_id, damaged=lost)
            _keep_others(folder, part)
            shutil.rmtree(folder, ignore_errors=True)
        seal_folder(part)
    try:
        part.rename(folder)
    except OSError:  # another process was quicker
        shutil.rmtree(part, ignore_errors=True)


def _check_current(folder: Path, is_current: object) -> None:
    if not is_current:
        raise Damaged(
            f"{folder} has an earlier version of a ranking and is not as it was written: restore it from a backup"
        )


def _is_sound(path: Path) -> bool:
    """Whether a file is there and as it was written; it can be made again of the database."""
    try:
        check_once(path)
    except FileNotFoundError:
        return False
    except Damaged as error:
        log.warning("ranking file damaged, it is made again", error=error.detail)
        return False
    return True


def _keep_others(folder: Path, part: Path) -> None:
    """Move what is not in the database, such as maps, to the new columns; what is damaged of it stays behind."""
    for path in folder.glob("*.npy"):
        if not (part / path.name).exists() and not path.name.startswith("order-") and _is_sound(path):
            shutil.copyfile(path, part / path.name)


def _opened(path: Path) -> Array:
    """The array of a file, checked when it is opened first. Raises Damaged."""
    facts = path.stat()
    return _mapped(path, facts.st_ino, facts.st_mtime_ns, facts.st_size)


@lru_cache(_MAPPED)
def _mapped(path: Path, _number: int, _changed: int, _size: int) -> Array:
    # A plain array over the mapped file: as a memmap, each part of it would cost several times as much.
    return np.asarray(open_array(path))


def _begun(folder: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent))


def _read(connection: sa.Connection, job_id: str) -> pa.Table:
    wanted = sa.select(*(suspects.c[name] for name in _COLUMNS)).where(suspects.c.job_id == job_id)
    rows = connection.execute(wanted.order_by(suspects.c.index), execution_options={"yield_per": _CHUNK})
    kinds = (pa.int64(), pa.int64(), pa.string(), pa.string(), pa.string(), pa.float64(), pa.string())
    schema = pa.schema(list(zip(_COLUMNS, kinds, strict=True)))
    batches = [
        pa.record_batch(
            [pa.array(values, kind) for values, kind in zip(zip(*part, strict=True), kinds, strict=True)], schema
        )
        for part in rows.partitions()
    ]
    return pa.Table.from_batches(batches, schema)


def _save_columns(part: Path, table: pa.Table) -> None:
    for name in ("index", "position"):
        np.save(part / f"{name}.npy", table.column(name).to_numpy())
    substrings.save(part, "ids", (chunk.to_pylist() for chunk in table.column("sample_id").chunks))
    (part / "header.json").write_text(json.dumps(_save_filters(part, table)))


def _save_filters(part: Path, table: pa.Table) -> dict[str, Any]:
    """Write labels, verdicts and confidence, and give the header that they are read by."""
    given, suggested, verdict = (_encoded(table, name) for name in ("given_label", "suggested_label", "verdict"))
    labels = sorted({*given[1], *suggested[1]})
    arrays = {
        "given": _places(given, labels),
        "suggested": _places(suggested, labels),
        "verdict": _places(verdict, sorted(verdict[1])).astype(np.int8),
        "confidence": table.column("suggested_confidence").to_numpy(),
    }
    for name, array in arrays.items():
        _save(part / f"{name}.npy", array)
    counted = np.bincount(arrays["verdict"], minlength=len(verdict[1])).tolist()
    counts = dict(zip(sorted(verdict[1]), counted, strict=True))
    return {"labels": labels, "verdicts": sorted(verdict[1]), "counts": counts}


def _encoded(table: pa.Table, name: str) -> tuple[Array, list[str]]:
    encoded = table.column(name).combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    return encoded.indices.to_numpy(zero_copy_only=False), encoded.dictionary.to_pylist()


def _places(encoded: tuple[Array, list[str]], among: Sequence[str]) -> Array:
    codes, names = encoded
    places = {name: place for place, name in enumerate(among)}
    return np.array([places[name] for name in names], np.int32)[codes]


def _sorted(scores: Array) -> Array:
    order = np.argsort(-scores, kind="stable").astype(np.int32)  # NaN comes last
    return order[: len(order) - int(np.isnan(scores).sum())]
