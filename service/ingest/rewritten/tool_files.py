"""Exports of labelling tools in JSON with labels changed in place; records that do not change stay as they stand."""

import json
from collections.abc import Iterator

from service.ingest.encoding import encoding_of, sample_text
from service.ingest.rewritten.edits import Edits, no_form
from service.ingest.rewritten.json_text import edited_array, edited_lines, with_changes
from service.ingest.source import RowSource, Upload
from service.platforms.relabelled import RELABELLINGS

_HEAD = 1 << 16


def rewrite_tool_file(upload: Upload, source: RowSource, label: str, edits: Edits) -> Iterator[bytes]:
    """The export in pieces; tasks of removed samples are gone.

    Raises Conflict where each annotation is a sample of its own, or ids are not the tool's.
    """
    if upload.spec.annotation_policy == "all":
        raise no_form("each annotation is a sample of its own (annotation_policy all), and a record has several")
    if upload.spec.id not in (None, source.id):
        raise no_form(f"samples are named by {upload.spec.id!r} and not by the ids of the tool")
    if edits.columns:
        raise no_form("a record of a labelling tool has no room for more columns")
    form = RELABELLINGS[source.format]
    labels, removed = edits.labels_by_id, edits.removed_ids
    is_escaped = not encoding_of(upload.path).startswith("utf")

    def edit(place: int, text: str) -> str | None:
        record, changed = json.loads(text), json.loads(text)
        name = form.name(record, place)
        if name in removed:
            return None
        if name not in labels:
            return text
        form.change(changed, label, labels[name])
        between = (", ", ": ") if '": ' in text else (",", ":")
        write = json.JSONEncoder(ensure_ascii=is_escaped or "\\u" in text, separators=between).encode
        return with_changes(text, record, changed, write)

    with upload.path.open("rb") as file:
        is_array = (sample_text(file.read(_HEAD)) or "").lstrip("\ufeff \t\r\n").startswith("[")
    return edited_array(upload, "", edit) if is_array else edited_lines(upload, edit)
