"""Rankings as labelling tools import them, with the content of the samples."""

from collections.abc import Iterator
from itertools import chain, repeat

from service.api.exports.export import Chunks, Export, Writer
from service.domain.verdict import FLAGGED
from service.ingest.contents import contents
from service.platforms.exports import ExportedSample, ToolFormat

# Items that are sent at a time: those of the first rows that are read go at once.
_FIRST, _PIECES = (1, 8, 40), 1_000


def tool_writer(form: ToolFormat) -> Writer:
    """The writer of a tool's format."""

    def write(chunks: Chunks, export: Export) -> Iterator[bytes]:
        held: list[str] = []
        sizes = chain(_FIRST, repeat(_PIECES))
        size = next(sizes)
        for piece in form.pieces(_samples(chunks, export, form), export.context):
            held.append(piece)
            if len(held) == size:
                yield "".join(held).encode(errors="replace")
                held, size = [], next(sizes)
        yield "".join(held).encode(errors="replace")

    return write


def _samples(chunks: Chunks, export: Export, form: ToolFormat) -> Iterator[ExportedSample]:
    sizes = form.flagged_images
    for chunk in chunks:
        rows = [row for row in chunk if row["verdict"] in FLAGGED] if sizes else chunk
        for row, content in zip(
            rows, contents(export.data, [row["position"] for row in rows], sizes=sizes), strict=True
        ):
            yield ExportedSample(
                rank=row["rank"],
                id=row["sample_id"],
                index=row["index"],
                score=row["score"],
                given=row["given_label"],
                suggested=row["suggested_label"],
                confidence=row["suggested_confidence"] if export.context.confidence_told else None,
                verdict=row["verdict"],
                text=content.text,
                path=content.path,
                size=content.size,
                features=content.features,
            )
