"""The forms in which an upload can be given back with its labels corrected, by what its reader says of it.

A new form is a module of `service.ingest.rewritten` and one entry of `FORMS`.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from service.ingest.detect import open_upload, unpacked
from service.ingest.faults import translated_errors
from service.ingest.limits import Limits
from service.ingest.rewritten.arrays import rewrite_npz
from service.ingest.rewritten.class_folders import rewrite_tar_folders, rewrite_zip_folders
from service.ingest.rewritten.columnar import rewrite_arrow, rewrite_parquet
from service.ingest.rewritten.delimited import rewrite_delimited
from service.ingest.rewritten.edits import Edits, no_form
from service.ingest.rewritten.fasttext import rewrite_fasttext
from service.ingest.rewritten.json_text import rewrite_json_array, rewrite_json_lines
from service.ingest.rewritten.tool_files import rewrite_tool_file
from service.ingest.source import RowSource, Upload
from service.ingest.streams import gzipped
from service.platforms.relabelled import RELABELLINGS
from service.store.originals import Original

# Gives the file in pieces; what cannot be written is refused before the first.
Form = Callable[[Upload, RowSource, str, Edits], Iterator[bytes]]

# By the beginning of `RowSource.format`.
FORMS: dict[str, Form] = {
    "csv, ": rewrite_delimited,
    "jsonl, ": rewrite_json_lines,
    "json, array": rewrite_json_array,
    "parquet": rewrite_parquet,
    "arrow": rewrite_arrow,
    "npz, arrays": rewrite_npz,
    "fasttext": rewrite_fasttext,
    **dict.fromkeys(RELABELLINGS, rewrite_tool_file),
    "zip, images in class folders": rewrite_zip_folders,
    "tar, images in class folders": rewrite_tar_folders,
}


def rewritten(original: Original, label: str, edits: Edits, limits: Limits, scratch: Path) -> Iterator[bytes]:
    """The upload in pieces, with the column `label` corrected; gzip stays gzip.

    Raises Conflict where its form cannot be written. Files for the time of writing lie in a folder of `scratch`.
    """
    with ExitStack() as opened, translated_errors():
        folder = opened.enter_context(tempfile.TemporaryDirectory(prefix=".rewritten-", dir=scratch))
        upload = Upload(original.path, original.name, original.spec, limits, Path(folder))
        upload, _, packed = unpacked(upload)
        if isinstance(original.spec.label, list):
            raise no_form("its class is written in several columns of 0 and 1")
        source = open_upload(upload)
        form = _form(source.format)
        if form is None:
            raise no_form(f"a corrected file cannot be written as {source.format}")
        pieces = form(upload, source, label, edits)
        until_written = opened.pop_all()
    return _closing(gzipped(pieces) if packed else pieces, until_written)


def _form(said: str) -> Form | None:
    if said in RELABELLINGS:
        return FORMS[said]
    return next((form for start, form in FORMS.items() if start not in RELABELLINGS and said.startswith(start)), None)


def _closing(pieces: Iterator[bytes], opened: ExitStack) -> Iterator[bytes]:
    with opened:
        yield from pieces
