"""Text as fastText takes it, of which only the labels that change and the lines that go are not as they were."""

from collections.abc import Iterator

from service.ingest.encoding import encoding_of
from service.ingest.readers.fasttext import LabelledLine, labelled_lines
from service.ingest.rewritten.edits import Edits, no_form, spellings
from service.ingest.rewritten.encoded import written_as
from service.ingest.source import RowSource, Upload


def rewrite_fasttext(upload: Upload, _source: RowSource, _label: str, edits: Edits) -> Iterator[bytes]:
    """The lines in pieces. Raises Conflict for more columns, and for a class that cannot be a word of the file."""
    if edits.columns:
        raise no_form("a line of fastText has no room for more columns")
    encoding = encoding_of(upload.path)
    written = written_as(upload.path, encoding)
    lines = (line for line in labelled_lines(upload.path, encoding) if isinstance(line, LabelledLine))
    spelt = spellings(((line.index, line.classes[0]) for line in lines if not line.fault), edits)
    for name in {*edits.labels.values()}:
        if len(spelt.get(name, name).split()) != 1:
            raise no_form(f"the class {name!r} cannot be written as fastText has them, in one word")
        written.check(name)

    def pieces() -> Iterator[bytes]:
        yield written.mark
        for line in labelled_lines(upload.path, encoding):
            if isinstance(line, str):
                yield written.encode(line)
            elif line.index not in edits.removed:
                name = edits.labels.get(line.index)
                yield written.encode(line.text if name is None else line.relabelled(spelt.get(name, name)))

    return pieces()
