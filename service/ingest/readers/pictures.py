"""Images in an archive, found by the references in a labelling tool's export."""

import base64
import binascii
import re
from collections import defaultdict
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from service.domain.errors import Malformed
from service.ingest.readers.listing import Listing, Member, OpenMember

_LARGEST = 64 * 2**20
_UPLOAD_MARK = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts one before the name of each upload


class ArchiveImages:
    """Images of an archive by name. A reference is a URL or path in the tool, of which the last parts name the image."""

    def __init__(self, listing: Listing, images: list[Member]) -> None:
        self.listing = listing
        self._named: dict[str, list[Member]] = defaultdict(list)
        self._stems: dict[str, list[Member]] = defaultdict(list)
        for member in images:
            name = PurePosixPath(member.path)
            self._named[name.name].append(member)
            self._stems[name.stem].append(member)

    def find(self, reference: str) -> Member | str:
        """The image that a reference names, or the reason why there is none."""
        parts = _parts(reference)
        name = parts[-1] if parts else ""
        found = self._named.get(name) or self._stems.get(name) or self._named.get(_UPLOAD_MARK.sub("", name)) or []
        best = max((_shared(member, parts) for member in found), default=0)
        fitting = [member for member in found if _shared(member, parts) == best]
        if not fitting:
            return f"the archive has no image {reference[:200]!r}"
        if len(fitting) > 1:
            return (
                f"the archive has several images that may be {reference[:200]!r}: {fitting[0].path}, {fitting[1].path}"
            )
        return fitting[0].fault or fitting[0]


def _parts(reference: str) -> list[str]:
    address = urlsplit(reference.replace("\\", "/"))
    path = address.query.partition("d=")[2] if "d=" in address.query else address.path
    return [part for part in unquote(path).split("/") if part not in ("", ".", "..")]


def _shared(member: Member, parts: list[str]) -> int:
    """Number of folders above the file with equal names."""
    count = 0
    for mine, theirs in zip(reversed(member.path.split("/")[:-1]), reversed(parts[:-1]), strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def contents(read: OpenMember, member: Member) -> tuple[bytes, str]:
    """The bytes of an image, and the reason why there are none."""
    if member.size > _LARGEST:
        return b"", f"the file is larger than {_LARGEST:,} bytes"
    try:
        with read(member) as file:
            return file.read(), ""
    except Malformed:
        return b"", "the file is damaged in the archive"


def is_inline(reference: str) -> bool:
    """Whether a reference is a data URI, which contains the image itself."""
    return reference.startswith("data:")


def inline(reference: str) -> tuple[bytes, str]:
    """The bytes of a data URI, and the reason why there are none."""
    head, _, content = reference.partition(",")
    if not head.endswith(";base64"):
        return b"", "its data URI is not base64"
    try:
        return base64.b64decode(content, validate=True), ""
    except (binascii.Error, ValueError):
        return b"", "its data URI is not base64"
