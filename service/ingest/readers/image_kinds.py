"""Image files in an archive, told by their endings, and by their first bytes where an ending says nothing."""

import re

from service.domain.dataset import ClientWarning
from service.domain.errors import Malformed
from service.ingest.images import unreadable_kind
from service.ingest.readers.listing import Listing, Member, OpenMember

IMAGE_ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif",
)  # fmt: skip
# Endings of files that are no images, and of a camera's raw files, which begin like TIFF and hold a preview only.
_OTHER_ENDINGS = (
    ".csv", ".tsv", ".tab", ".txt", ".data", ".json", ".jsonl", ".ndjson", ".xml", ".xlsx", ".xls", ".parquet", ".arrow", ".feather",
    ".npy", ".npz", ".mat", ".pkl", ".safetensors", ".h5", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".md", ".rst", ".html", ".htm",
    ".css", ".js", ".py", ".ipynb", ".sh", ".log", ".pdf", ".zip", ".gz", ".tar", ".mp4", ".avi", ".mov", ".wav", ".mp3",
    ".dng", ".cr2", ".nef", ".arw", ".orf", ".rw2",
)  # fmt: skip
_HEAD = 132
_MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|....ftypavi[fs]|II\*\0|MM\0\*|BM....\0\0\0\0..\0\0[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    re.DOTALL,
)


def images_in(listing: Listing) -> list[Member]:
    """The members that are images, sorted by path. Those without a known ending are opened."""
    found: list[Member] = []
    with listing.reading() as read:
        for member in listing.members:
            path = member.path.lower()
            if path.endswith(IMAGE_ENDINGS) or (not path.endswith(_OTHER_ENDINGS) and _looks_like_image(read, member)):
                found.append(member)
    return found


def litter_warning(listing: Listing) -> ClientWarning | None:
    """A warning of images among the files that systems and programs leave behind."""
    count, shown = 0, ""
    with listing.reading() as read:
        for member in listing.litter:
            if member.path.lower().endswith(IMAGE_ENDINGS) and _looks_like_image(read, member):
                count, shown = count + 1, shown or member.path
    if not count:
        return None
    detail = f"{count:,} images in hidden folders or in folders of the system were left out, for example {shown}"
    return ClientWarning(code="hidden_images_left_out", detail=detail)


def _looks_like_image(read: OpenMember, member: Member) -> bool:
    if member.fault or not member.size:
        return False
    try:
        with read(member) as file:
            head = file.read(_HEAD)
    except Malformed:
        return False
    return _MAGIC.match(head) is not None or bool(unreadable_kind(head))
