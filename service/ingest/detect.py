"""The file formats that can be read, and which of them an upload is.

A new format is a module of `service.ingest.readers` and one entry of `READERS`; docs/extending.md names the places beside it.
"""

import gzip
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from service.domain.errors import UnreadableType
from service.ingest.encoding import sample_text
from service.ingest.faults import invalid, malformed
from service.ingest.limits import Limits
from service.ingest.readers.arff import looks_like_arff, open_arff
from service.ingest.readers.arrays import open_npz
from service.ingest.readers.columnar import open_arrow, open_parquet
from service.ingest.readers.delimited import open_delimited
from service.ingest.readers.documents import titles, tool_file
from service.ingest.readers.fasttext import looks_like_fasttext, open_fasttext
from service.ingest.readers.folder import open_folder
from service.ingest.readers.image_kinds import images_in
from service.ingest.readers.inner_tables import InnerTables
from service.ingest.readers.json_document import is_document, open_json_document
from service.ingest.readers.json_lines import open_json_lines
from service.ingest.readers.listing import Listing, is_tar, list_tar, list_zip, opened_zip
from service.ingest.readers.named import meaning_of, open_named_npz, open_safetensors
from service.ingest.readers.safetensors import looks_like_safetensors
from service.ingest.readers.spreadsheet import OLD_EXCEL, is_workbook, open_workbook
from service.ingest.readers.svmlight import looks_like_svmlight, open_svmlight
from service.ingest.readers.table_form import looks_delimited
from service.ingest.readers.table_parts import open_tables
from service.ingest.readers.tool_files import open_tool_archive, open_tool_file
from service.ingest.source import RowSource, Upload

_HEAD = 1 << 16
_CHUNK = 1 << 20
_SMALL_TEXT = 64 * 2**20  # A row of text takes more time than its bytes in other formats.
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_PICKLE = "a pickle, which can run any code when it is loaded; save arrays as safetensors or with numpy.savez"
_MOST_INSPECTED = 20  # files of an archive
_LONGEST_MARK = 64
_HINTS = (
    (b"\x93NUMPY", "a single NumPy array; save x and y together with numpy.savez"),
    (b"\x89HDF", "HDF5"),
    (b"MATLAB", "a MATLAB file; load it with scipy.io.loadmat and save its arrays with numpy.savez"),
    (b"\0\0\x08\x01", "IDX, as of MNIST; save images and labels together with numpy.savez"),
    (b"\0\0\x08\x03", "IDX, as of MNIST; save images and labels together with numpy.savez"),
    (b"$FL2", "an SPSS file; save it as CSV"),
    (b"<stata_dta", "a Stata file; save it as CSV"),
    (b"Obj\x01", "Avro; save it as Parquet"),
    (b"ORC", "ORC; save it as Parquet"),
    (b"SQLite", "an SQLite database"),
    (b"BZh", "compressed with bzip2; use gzip"),
    (b"\xfd7zXZ", "compressed with xz; use gzip"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard; use gzip"),
    (b"7z\xbc\xaf", "a 7z archive; use ZIP"),
    (b"Rar!", "a RAR archive; use ZIP"),
    (b"%PDF", "PDF"),
    (b"\x80\x02", _PICKLE),
    (b"\x80\x03", _PICKLE),
    (b"\x80\x04", _PICKLE),
    (b"\x80\x05", _PICKLE),
    (b"FEA1", "Feather version 1; write version 2"),
    (b"\x89PNG", "a single image; upload a ZIP of class folders"),
    (b"\xff\xd8\xff", "a single image; upload a ZIP of class folders"),
)


@dataclass(frozen=True)
class FileHead:
    """An upload and its first bytes, 64 KiB at most."""

    upload: Upload
    head: bytes

    @cached_property
    def members(self) -> list[str]:
        """The names in a ZIP; none of any other file."""
        if not self.head.startswith(_ZIP):
            return []
        with opened_zip(self.upload.path) as archive:
            return archive.namelist()


@dataclass(frozen=True)
class Reader:
    """A file format: how it is recognised and opened.

    A file has this format if it begins with one of the byte strings `magic`, or if `takes` is true of it. An archive may
    hold one file of this format in place of images if its name ends with one of `in_archives`, in lower case and perhaps
    with .gz behind it; a format without endings is not looked for in archives.
    """

    title: str  # as the error for an unreadable file lists it
    open: Callable[[Upload], RowSource]
    magic: tuple[bytes, ...] = ()
    takes: Callable[[FileHead], bool] = lambda _file: False
    in_archives: tuple[str, ...] = ()

    def recognises(self, file: FileHead) -> bool:
        """Whether a file has this format."""
        return (bool(self.magic) and file.head.startswith(self.magic)) or self.takes(file)


def open_upload(upload: Upload) -> RowSource:
    """Find the reader and open the file; gzip is undone first. Raises `UnreadableType` listing what is readable."""
    upload, head, packed = unpacked(upload)
    if not head:
        raise invalid("the file is empty")
    file = FileHead(upload, head)
    for reader in READERS.values():
        if reader.recognises(file):
            source = reader.open(upload)
            return replace(source, format=f"{source.format}, gzip") if packed else source
    known = _hint(head)
    hint = f" It is {known}." if known else ""
    raise UnreadableType(
        f"no reader takes {upload.name!r}.{hint} Readable: {'; '.join(one.title for one in READERS.values())}."
    )


def _hint(head: bytes) -> str:
    """What a file is that no reader takes, by its first bytes; empty if that is not known."""
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<table")):
        return "an HTML page; save the table in it as CSV or .xlsx"
    return next((text for mark, text in _HINTS if head.startswith(mark)), "")


def _foreign(listing: Listing) -> str:
    """What an archive without images and tables holds instead; empty if that is not known."""
    names = {member.path for member in listing.members}
    if names & {"[Content_Types].xml", "mimetype"}:
        return "a document of an office program; save its table as .xlsx or CSV"
    with listing.reading() as read:
        for member in [one for one in listing.members if not one.fault][:_MOST_INSPECTED]:
            with read(member) as file:
                head = file.read(_LONGEST_MARK)
            packed = "an archive or packed itself; unpack it first" if head.startswith((*_ZIP, b"\x1f\x8b")) else ""
            if what := packed or _hint(head):
                return f"an archive in which {member.path} is {what}"
    return ""


def unpacked(upload: Upload) -> tuple[Upload, bytes, bool]:
    """The upload without gzip, its first bytes, and whether it was packed."""
    head = _head(upload.path)
    if not head.startswith(b"\x1f\x8b"):
        return upload, head, False
    plain = upload.scratch / f"expanded-{upload.path.name}"
    _gunzip(upload, plain)
    name = upload.name
    for ending, shorter in ((".tgz", ".tar"), (".gz", "")):
        if name.lower().endswith(ending):
            name = name[: -len(ending)] + shorter
            break
    return replace(upload, path=plain, name=name), _head(plain), True


def _gunzip(upload: Upload, target: Path) -> None:
    size = upload.path.stat().st_size
    expanded = 0
    try:
        with gzip.open(upload.path) as packed, target.open("wb") as plain:
            while chunk := packed.read(_CHUNK):
                expanded += len(chunk)
                upload.limits.check_expansion(size, expanded, _SMALL_TEXT)
                plain.write(chunk)
    except EOFError as error:
        raise malformed(
            f"the gzip file is cut short after {expanded:,} expanded bytes; upload it again", "gzip"
        ) from error


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _is_npz(file: FileHead) -> bool:
    return bool(_array_names(file))


def _is_named_npz(file: FileHead) -> bool:
    return meaning_of(_array_names(file)) is not None


def _array_names(file: FileHead) -> list[str]:
    """The arrays of an NPZ; none of any other file."""
    names = file.members
    return [name.removesuffix(".npy") for name in names] if all(name.endswith(".npy") for name in names) else []


def _is_workbook(file: FileHead) -> bool:
    return file.head.startswith(_ZIP) and is_workbook(file.members)


def _is_safetensors(file: FileHead) -> bool:
    return looks_like_safetensors(file.head, file.upload.path.stat().st_size)


def _is_tar(file: FileHead) -> bool:
    return is_tar(file.head)


def _is_tool_file(file: FileHead) -> bool:
    return sample_text(file.head) is not None and tool_file(file.upload) is not None


def _is_json_document(file: FileHead) -> bool:
    text = (sample_text(file.head) or "").lstrip("\ufeff \t\r\n")
    return text.startswith(("[", "{")) and is_document(file.upload.path)


def _is_json_lines(file: FileHead) -> bool:
    text = sample_text(file.head)
    return text is not None and text.lstrip().startswith("{")


def _is_delimited(file: FileHead) -> bool:
    text = sample_text(file.head)
    if text is None or text.lstrip().startswith(("[", "<!", "<?", "<html")):
        return False
    return file.upload.name.lower().endswith((".csv", ".tsv", ".tab", ".txt", ".data")) or looks_delimited(text)


def _open_zip(upload: Upload) -> RowSource:
    return _open_archive("zip", upload, list_zip)


def _open_tar(upload: Upload) -> RowSource:
    return _open_archive("tar", upload, list_tar)


def _open_archive(kind: str, upload: Upload, listed: Callable[[Path, Limits], Listing]) -> RowSource:
    """An export of a labelling tool; or images; or else a table or its parts, read as if they were uploaded by themselves."""
    if upload.is_inner:
        raise invalid(f"{upload.name!r} is an archive in an archive; unpack it first")
    listing = listed(upload.path, upload.limits)
    export = open_tool_archive(kind, upload, listing)
    if export is not None:
        return export
    endings = tuple(ending for reader in READERS.values() for ending in reader.in_archives)
    tables = InnerTables(upload, listing, open_upload, endings)
    documents = replace(tables, endings=(".json",))
    if not tables.members() and documents.members():  # beside a table, JSON describes it
        tables = documents
    images = images_in(listing)
    source = open_folder(kind, images, tables) if images else None
    if source is not None:
        return source
    names = [member.path for member in listing.members]
    if any(name.rsplit("/", 1)[-1] == "data.pkl" for name in names):
        raise UnreadableType(f"{upload.name!r} is {_PICKLE}")
    if not tables.members() and not images and (what := _foreign(listing)):
        raise UnreadableType(f"{upload.name!r} is {what}")
    return open_tables(kind, tables, images)


# The first reader that recognises a file opens it: a format that says what it is comes before one that is guessed.
READERS: dict[str, Reader] = {
    "parquet": Reader("Parquet", open_parquet, magic=(b"PAR1",), in_archives=(".parquet",)),
    "arrow": Reader(
        "Arrow IPC and Feather",
        open_arrow,
        magic=(b"ARROW1", b"\xff\xff\xff\xff"),
        in_archives=(".arrow", ".feather"),
    ),
    "safetensors": Reader(
        "safetensors of a recorded training or of out-of-sample predictions",
        open_safetensors,
        takes=_is_safetensors,
        in_archives=(".safetensors",),
    ),
    "named": Reader("NPZ of the same", open_named_npz, takes=_is_named_npz, in_archives=(".npz",)),
    "npz": Reader("NPZ of samples and labels, as x and y", open_npz, takes=_is_npz),
    "excel": Reader(
        "Excel (.xlsx, .xlsm, .xls)",
        open_workbook,
        magic=(OLD_EXCEL,),
        takes=_is_workbook,
        in_archives=(".xlsx", ".xlsm", ".xls"),
    ),
    "zip": Reader(
        "ZIP of images in class folders or with a list of them, or of tables that are parts of one",
        _open_zip,
        magic=_ZIP,
    ),
    "tar": Reader("TAR of the same, also .tar.gz", _open_tar, takes=_is_tar),
    "tool": Reader(
        f"exports of labelling tools ({titles()}; in a ZIP beside their images)", open_tool_file, takes=_is_tool_file
    ),
    "json": Reader(
        "JSON: an array of objects, alone or under a key, or as pandas writes it (also .gz)",
        open_json_document,
        takes=_is_json_document,
    ),
    "jsonl": Reader("JSON lines (also .gz)", open_json_lines, takes=_is_json_lines, in_archives=(".jsonl", ".ndjson")),
    "arff": Reader("ARFF", open_arff, takes=lambda file: looks_like_arff(file.head), in_archives=(".arff",)),
    "svmlight": Reader(
        "SVMlight and LIBSVM",
        open_svmlight,
        takes=lambda file: looks_like_svmlight(file.head),
        in_archives=(".svm", ".libsvm", ".svmlight"),
    ),
    "fasttext": Reader(
        "text as fastText takes it",
        open_fasttext,
        takes=lambda file: looks_like_fasttext(file.head),
        in_archives=(".ft", ".ft.txt"),
    ),
    "csv": Reader("CSV and TSV (also .gz)", open_delimited, takes=_is_delimited, in_archives=(".csv", ".tsv", ".tab")),
}
