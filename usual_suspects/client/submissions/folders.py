"""Folders and files of this machine."""

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

from usual_suspects.client.submissions.prepared import Origin, Prepared, UnsuitableData


def write_folder(source: Path, folder: Path) -> Prepared:
    """A folder as a ZIP, its files not packed; hidden ones are left out."""
    path = folder / f"{source.resolve().name or 'folder'}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in _files(source):
            archive.write(file, file.relative_to(source).as_posix())
        if not archive.filelist:
            raise UnsuitableData(f"{source} holds no files")
    return Prepared(path, Origin("folder", source=source), path.stem)


def given_file(source: Path) -> Prepared:
    """A file as it is."""
    return Prepared(source, Origin("path", source=source), source.name)


def _files(source: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))
