"""Detection of exports of labelling tools, and their records: JSON arrays, objects and lines, CSV rows, XML."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from service.domain.dataset import DatasetSpec
from service.domain.errors import Malformed
from service.ingest.encoding import encoding_of, sample_text
from service.ingest.faults import malformed
from service.ingest.readers.delimited import open_delimited
from service.ingest.readers.json_lines import numbered_rows
from service.ingest.readers.json_stream import pieces
from service.ingest.source import Upload
from service.platforms import label_studio_files, pictures, records
from service.platforms.files import Records, ToolTable

_HEAD = 1 << 16
_TAGS_SHAPES = ("box", "polygon", "polyline", "points", "ellipse", "cuboid", "mask", "skeleton")

Opened = Callable[[DatasetSpec], ToolTable]


@dataclass(frozen=True)
class Tool:
    """A format of records: how the first record is recognised, and how all are read."""

    takes: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Records, DatasetSpec], ToolTable]


RECORDS: dict[str, Tool] = {
    "Label Studio JSON": Tool(label_studio_files.is_task, label_studio_files.tasks),
    "Label Studio JSON_MIN": Tool(
        label_studio_files.is_row, lambda found, spec: label_studio_files.rows("label studio json_min", found, spec)
    ),
    "Labelbox NDJSON": Tool(records.is_labelbox, records.labelbox),
    "Argilla records": Tool(records.is_argilla, records.argilla),
    "Prodigy JSONL": Tool(records.is_prodigy, records.prodigy),
    "doccano JSONL": Tool(records.is_doccano, records.doccano),
}


@dataclass(frozen=True)
class Document:
    """A format of one JSON object: how it is recognised by the names of its sections, and how it is read."""

    takes: Callable[[frozenset[str]], bool]
    read: Callable[[pictures.Pieces, DatasetSpec], ToolTable]


DOCUMENTS: dict[str, Document] = {
    "COCO": Document(pictures.is_coco, pictures.coco),
    "FiftyOneImageClassificationDataset": Document(pictures.is_fiftyone_labels, pictures.fiftyone_labels),
    "FiftyOneDataset": Document(pictures.is_fiftyone_samples, pictures.fiftyone_samples),
}


def tool_file(upload: Upload) -> Opened | None:
    """How to read a file that a labelling tool wrote; None for any other."""
    with upload.path.open("rb") as file:
        text = sample_text(file.read(_HEAD)) or ""
    match text.lstrip("\ufeff \t\r\n")[:1]:
        case "[":
            return _records(_array(upload.path))
        case "{":
            return _object(upload.path)
        case "<":
            return (lambda spec: pictures.cvat(_images(upload.path), spec)) if "<annotations" in text else None
        case _:
            return _rows(upload, text)


def _records(found: Records) -> Opened | None:
    try:
        first = next(found(), None)
    except Malformed:
        return None
    tool = next((one for one in RECORDS.values() if first and one.takes(first)), None)
    return None if tool is None else lambda spec: tool.read(found, spec)


def _array(path: Path) -> Records:
    def found() -> Iterator[dict[str, Any]]:
        encoding = encoding_of(path)
        for place, (_, _, value) in enumerate(pieces(path, encoding)):
            if not isinstance(value, dict):
                raise malformed(f"element {place} of the array is no JSON object", f"element {place}")
            yield value

    return found


def _object(path: Path) -> Opened | None:
    """Lines of objects, or one object."""
    encoding = encoding_of(path)

    def lines() -> Iterator[dict[str, Any]]:
        return (row for _, _, row in numbered_rows(path, encoding))

    try:
        keys = frozenset(next(lines(), {}))
    except Malformed:
        keys = frozenset()
    if not any(one.takes(keys) for one in DOCUMENTS.values()):
        if keys:
            return _records(lines)
        try:
            keys = frozenset(section for section, _, _ in pieces(path, encoding))
        except Malformed:
            return None
    document = next((one for one in DOCUMENTS.values() if one.takes(keys)), None)
    return None if document is None else lambda spec: document.read(lambda: pieces(path, encoding), spec)


def _rows(upload: Upload, text: str) -> Opened | None:
    """A CSV or TSV of Label Studio's, by its header."""
    if upload.spec.header is False:
        return None
    header = text.split("\n", 1)[0].replace('"', "").replace("\t", ",")
    if not label_studio_files.is_row(dict.fromkeys(name.strip() for name in header.split(","))):
        return None
    source = open_delimited(upload)

    def found() -> Iterator[dict[str, Any]]:
        for batch in source.batches(False):
            yield from batch.rows.to_pylist()

    return lambda spec: label_studio_files.rows("label studio csv", found, spec)


def _images(path: Path) -> Records:
    """The images of CVAT's XML, one at a time."""

    def found() -> Iterator[dict[str, Any]]:
        try:
            for _, element in iterparse(path, events=("end",)):
                if element.tag == "image":
                    yield _image(element)
                    element.clear()
        except ParseError as error:
            line = f"line {error.position[0]}"
            raise malformed(f"{line} is not XML: {error}", line) from error
        except DefusedXmlException as error:
            raise malformed(f"the XML has entities of its own, which are not read: {type(error).__name__}") from error
        except (LookupError, ValueError) as error:  # of an encoding that nobody knows, or that is not read
            raise malformed(f"the XML cannot be read: {error}") from error

    return found


def _image(element: Any) -> dict[str, Any]:
    return {
        "id": element.get("id"),
        "name": element.get("name") or "",
        "subset": element.get("subset"),
        "tags": [tag.get("label") or "" for tag in element.iter("tag")],
        "shapes": sum(1 for child in element if child.tag in _TAGS_SHAPES),
    }


def titles() -> str:
    """Names of the formats, for an error message."""
    return ", ".join((*RECORDS, *DOCUMENTS, "CVAT XML"))
