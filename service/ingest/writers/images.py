"""Images of a dataset as a ZIP of class folders, in pieces."""

import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from service.ingest import images
from service.ingest.rewritten.class_folders import free_path
from service.ingest.streams import Sink
from service.ingest.writers.view import View

_UNSAFE = str.maketrans(dict.fromkeys('/\\\0:*?"<>|', "_"))
_WHEN = (1980, 1, 1, 0, 0, 0)  # the same file each time


def to_zip(view: View) -> Iterator[bytes]:
    """`class/name` of every image, or `split/class/name` where there are several splits; the images as they are, not packed.

    Of a path the name stays; names that two images of a class have get a number.
    """
    folders = _folders(view.info.classes)
    split = view.info.splits.keys() != {"train"}
    taken: set[str] = set()
    sink = Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for row in view.pictures():
            parts = [row["split"]] if split else []
            name = _name(row["path"], row["image"])
            path = free_path("/".join([*parts, folders[row["label"]], name]), taken)
            archive.writestr(zipfile.ZipInfo(path, _WHEN), row["image"])
            yield sink.take()
    yield sink.take()


def _folders(classes: list[str]) -> dict[str, str]:
    taken: set[str] = set()
    return {name: free_path(_safe(name), taken) for name in classes}


def _safe(name: str) -> str:
    plain = name.translate(_UNSAFE).strip(" ")
    return f"_{plain}" if plain.startswith(".") or not plain else plain


def _name(path: str, image: bytes) -> str:
    name = _safe(PurePosixPath(path).name)
    if PurePosixPath(name).suffix:
        return name
    return f"{name}.{images.content_type(image).partition('/')[2].partition('+')[0]}"
