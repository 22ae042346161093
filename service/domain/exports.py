"""Formats of whole rankings: the one list that the API, its description, the command line and the page read.

How each is written is in service.api.exports, by the same names.
"""

from dataclasses import dataclass

from service.domain.dataset import Modality


@dataclass(frozen=True)
class ExportFormat:
    """A file format of a ranking. `summary` says in a few words what the file is, `suffix` ends its name.

    `modalities` are the data that a labelling tool has a place for; None for a table, which any ranking fits in.
    """

    name: str
    title: str
    summary: str
    media_type: str
    suffix: str
    modalities: tuple[Modality, ...] | None = None

    @property
    def media_range(self) -> str:
        """The media type without parameters."""
        return self.media_type.partition(";")[0]

    @property
    def is_text(self) -> bool:
        """Whether a file of it is text."""
        return self.media_range.startswith("text/") or self.media_range.endswith("json")

    @property
    def is_for_tool(self) -> bool:
        """Whether a labelling tool imports it: it then holds the samples' content, and suggestions about their labels."""
        return self.modalities is not None

    def fits(self, modality: Modality) -> bool:
        """Whether a ranking of such data can be written in it."""
        return self.modalities is None or modality in self.modalities


_CSV, _LINES, _JSON = "text/csv; charset=utf-8", "application/x-ndjson", "application/json"
# In this order where they are listed, and where several fit what a client accepts.
EXPORT_FORMATS: dict[str, ExportFormat] = {
    one.name: one
    for one in (
        ExportFormat("csv", "CSV", "a table", _CSV, "csv"),
        ExportFormat("jsonl", "JSON lines", "a table, one object a line", _LINES, "jsonl"),
        ExportFormat("parquet", "Parquet", "a table", "application/vnd.apache.parquet", "parquet"),
        ExportFormat("cleanlab", "cleanlab's table", "the table of cleanlab's label issues", _CSV, "cleanlab.csv"),
        ExportFormat(
            "label_studio",
            "Label Studio",
            "tasks with predictions",
            _JSON,
            "label_studio.json",
            ("text", "image", "tabular"),
        ),
        ExportFormat("argilla", "Argilla", "records with suggestions", _JSON, "argilla.json", ("text", "image")),
        ExportFormat("doccano", "doccano", "lines with metadata", _LINES, "doccano.jsonl", ("text",)),
        ExportFormat("cvat", "CVAT", "an issue for each flagged image", _JSON, "cvat.json", ("image",)),
        ExportFormat("prodigy", "Prodigy", "tasks of choice", _LINES, "prodigy.jsonl", ("text", "image")),
        ExportFormat("labelbox", "Labelbox", "predictions", _LINES, "labelbox.ndjson", ("text", "image")),
        ExportFormat("fiftyone", "FiftyOne", "samples to merge", _JSON, "fiftyone.json", ("image",)),
    )
}
