"""Forms of corrected files: which one an ending means, and where a file is written."""

from pathlib import Path

from usual_suspects.client.models import DatasetInfo
from usual_suspects.client.submissions.prepared import UnsuitableData

# Formats of the API, and the endings of their files; that of the upload has its own.
FILE_FORMATS = {
    "original": "",
    "csv": ".csv",
    "parquet": ".parquet",
    "jsonl": ".jsonl",
    "manifest": ".csv",
    "zip": ".zip",
}
_BY_ENDING = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_OF_UPLOADS = {"excel": ".xlsx", "folder": ".zip"}


def format_of(path: str | Path, dataset: DatasetInfo) -> str:
    """The format of the API for a file of this name: that of the upload where it has such an ending. Raises UnsuitableData."""
    ending = _ending(Path(path))
    own = {_ending(Path(dataset.name)), _own_ending(dataset)} - {""}
    if ending in own:
        return "original"
    if ending == ".zip" and dataset.modality == "image":
        return "zip"
    if ending in _BY_ENDING:
        return _BY_ENDING[ending]
    known = ", ".join(sorted({*own, *_BY_ENDING}))
    said = f"the ending {ending}" if ending else "a file without an ending"
    raise UnsuitableData(
        f"{path}: which form is meant by {said}? Write {known}, or name a format: {', '.join(FILE_FORMATS)}"
    )


def default_path(format: str, dataset: DatasetInfo) -> Path:  # noqa: A002 - the API's name
    """The file in this folder that is written where none is named: that of the upload with `.corrected` before its ending."""
    name = Path(Path(dataset.name).name or "dataset")
    ending = _ending(name)
    stem = name.name[: len(name.name) - len(ending)]
    return Path(f"{stem}.corrected{FILE_FORMATS[format] or ending or _own_ending(dataset)}")


def _own_ending(dataset: DatasetInfo) -> str:
    """The ending of the upload, by how it was read; empty where that does not say it."""
    kind = dataset.inferred.format.partition(",")[0]
    return _OF_UPLOADS.get(kind, f".{kind}" if kind.isalnum() else "")


def _ending(path: Path) -> str:
    """The ending, in lower case; of a packed file, both."""
    packed = path.suffix.lower() in (".gz", ".bz2", ".xz", ".zst")
    return "".join(path.suffixes[-2:] if packed else path.suffixes[-1:]).lower()
