"""Tables in an archive, unpacked to disk and opened by the readers of files."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from service.domain.dataset import ClientWarning
from service.ingest.readers.listing import Listing, Member, unpack
from service.ingest.source import RowSource, Upload

# A form for answers to a competition: its labels are placeholders.
_SUBMISSION = re.compile(r"(?is).*sample_?-?submission.*|(.*[_-])?submissions?([_-].*)?")


@dataclass(frozen=True)
class InnerTables:
    """The tables of an archive. `open` reads an unpacked file; `endings` are in lower case, without .gz."""

    upload: Upload
    listing: Listing
    open: Callable[[Upload], RowSource]
    endings: tuple[str, ...]

    def members(self, *more: str) -> list[Member]:
        """The files that are tables by their endings, or by one of `more`, sorted by path."""
        endings = (*self.endings, *more)
        return [one for one in self.listing.members if one.path.lower().removesuffix(".gz").endswith(endings)]

    def unpacked(self, members: Sequence[Member]) -> list[Upload]:
        """Each table as if it were uploaded by itself; the archive is opened once."""
        uploads = []
        with self.listing.reading() as read:
            for number, member in enumerate(members):
                path = self.upload.scratch / f"inner-{number}-{self.upload.path.name}"
                unpack(read, member, path)
                uploads.append(replace(self.upload, path=path, name=base_name(member.path), is_inner=True))
        return uploads


def base_name(path: str) -> str:
    """The last part of a path."""
    return path.rsplit("/", 1)[-1]


def stem_of(path: str) -> str:
    """The last part of a path without its endings: `train` of `data/train.csv.gz`."""
    name = base_name(path)
    plain = name[: -len(".gz")] if name.lower().endswith(".gz") else name
    return plain.rpartition(".")[0] or name


def is_submission(path: str) -> bool:
    """Whether a table is a form for answers to a competition, whose labels mean nothing."""
    return _SUBMISSION.fullmatch(stem_of(path)) is not None


def left_out(path: str, why: str) -> ClientWarning:
    """The warning of a table that is not read."""
    return ClientWarning(code="table_left_out", detail=f"{path} was left out: {why}")
