"""Images in an archive, found by the references in a labelling tool's export."""

import base64
import binascii
import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from functools import cached_property
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from service.domain.errors import Malformed
from service.ingest.readers.listing import Listing, Member, OpenMember

_LARGEST = 64 * 2**20
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
_UPLOAD_MARK = re.compile(r"^[0-9a-f]{8}-")  # Label Studio puts one before the name of each upload


class ArchiveImages:
    """Images of an archive by name. A reference is a name, a path or a URL, of which the last parts name the image."""

    def __init__(self, listing: Listing, images: Sequence[Member]) -> None:
        self.listing = listing
        self._paths = {member.path: member for member in images}
        self._named: dict[str, list[Member]] = defaultdict(list)
        self._stems: dict[str, list[Member]] = defaultdict(list)
        for member in images:
            name = _name(member.path)
            # A browser or a tool may have saved it with its name as it stood in the URL.
            for one in dict.fromkeys((name, unicodedata.normalize("NFC", unquote(name)))):
                self._named[one].append(member)
                self._stems[_stem(one)].append(member)
        self._tails: dict[int, dict[str, list[Member]]] = {}

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self._paths)

    @property
    def first(self) -> str:
        """The first path."""
        return next(iter(self._paths), "")

    def find(self, reference: str, folder: str = "") -> Member | str:
        """The image that a reference names, or the reason why there is none. A path may be relative to `folder`."""
        found = self.candidates(reference, folder)
        if not found:
            return f"the archive has no image {reference[:200]!r}"
        if len(found) > 1:
            return f"the archive has several images that may be {reference[:200]!r}: {found[0].path}, {found[1].path}"
        return found[0].fault or found[0]

    def candidates(self, reference: str, folder: str) -> list[Member]:
        """Images that fit, all equally well: those of the same path, else name, else name without ending, else in any case."""
        readings = _readings(reference)
        for parts in readings:
            exact = self._paths.get("/".join([folder.strip("/"), *parts]).strip("/"))
            if exact is not None:
                return [exact]
        for names in (self._named, self._stems):
            for parts in readings:
                name = parts[-1] if parts else ""
                found = names.get(name) or names.get(_UPLOAD_MARK.sub("", name)) or []
                if found:
                    return self._nearest(found, parts)
        for parts in readings:
            found = self._folded.get(parts[-1].casefold() if parts else "", [])
            if found:
                return self._nearest(found, parts)
        return []

    @cached_property
    def _folded(self) -> dict[str, list[Member]]:
        """Images by name and by name without ending, in lower case; made when a name is not found as it stands."""
        found: dict[str, list[Member]] = defaultdict(list)
        for names in (self._named, self._stems):
            for name, members in names.items():
                found[name.casefold()] += members
        return found

    def _nearest(self, found: list[Member], parts: Sequence[str]) -> list[Member]:
        """Those that share the most folders above the name with a reference."""
        if len(found) == 1:
            return found
        tails = self._tails.setdefault(id(found), defaultdict(list))
        if not tails:
            for member in found:
                folders = member.path.split("/")[:-1]
                for start in range(len(folders) + 1):
                    tails["/".join(folders[start:])].append(member)
        folders = list(parts[:-1])
        return next(tails[tail] for start in range(len(folders) + 1) if (tail := "/".join(folders[start:])) in tails)


def _name(path: str) -> str:
    name = path.rsplit("/", 1)[-1]
    return PurePosixPath(path).name if name in ("", ".") else name


def _stem(name: str) -> str:
    if "/" in name or name in ("", "."):  # a slash may have been written as %2F
        return PurePosixPath(name).stem
    place = name.rfind(".")
    return name[:place] if 0 < place < len(name) - 1 else name


def _readings(reference: str) -> list[list[str]]:
    """The parts of the path that a reference may mean, the most literal first."""
    plain = reference.replace("\\", "/")
    paths = [plain, unquote(plain)]
    if _SCHEME.match(plain) or "?d=" in plain:
        address = urlsplit(plain)
        path = address.query.partition("d=")[2] if "d=" in address.query else address.path
        paths += [path, unquote(path)]
    paths = [unicodedata.normalize("NFC", path) for path in paths]
    return [[part for part in path.split("/") if part not in ("", ".", "..")] for path in dict.fromkeys(paths)]


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
