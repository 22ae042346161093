"""Uploads as they came, and who gave their labels, kept beside the canonical files of their datasets.

A corrected dataset has both of its parent by hard links: the bytes are there once, and stay until the last dataset
that needs them is deleted.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from service.domain.dataset import DatasetSpec
from service.domain.names import STORED
from service.store.blobs import Blobs
from service.store.seal import read_checked, seal_file, share_seal


class OriginalFacts(BaseModel):
    """What the client said of an upload."""

    model_config = ConfigDict(frozen=True)

    name: str
    spec: DatasetSpec


@dataclass(frozen=True)
class Original:
    """An upload: its bytes as they came, the client's name for the file, and the spec by which it was read."""

    path: Path
    name: str
    spec: DatasetSpec


def keep_original(blobs: Blobs, dataset_id: str, upload: Path, name: str, spec: DatasetSpec) -> None:
    """Keep an upload with its dataset, whose folder is there; by a hard link where the file system has them."""
    _link(upload, blobs.original(dataset_id))
    seal_file(blobs.original(dataset_id))  # of its own, so that corrected datasets need not compute it again
    facts = OriginalFacts(name=name, spec=spec)
    blobs.original_facts(dataset_id).write_text(facts.model_dump_json(), encoding="utf-8")


def share_original(blobs: Blobs, parent_id: str, dataset_id: str) -> None:
    """Give a corrected dataset the upload of its parent, if that has one."""
    if find_original(blobs, parent_id) is not None:
        _link(blobs.original(parent_id), blobs.original(dataset_id))
        share_seal(blobs.original(parent_id), blobs.original(dataset_id))
        _link(blobs.original_facts(parent_id), blobs.original_facts(dataset_id))


def share_votes(blobs: Blobs, parent_id: str, dataset_id: str) -> None:
    """Give a corrected dataset the votes of its parent, if annotators are known: what people said stays what they said."""
    if blobs.votes(parent_id).exists():
        _link(blobs.votes(parent_id), blobs.votes(dataset_id))


def find_original(blobs: Blobs, dataset_id: str) -> Original | None:
    """The upload of a dataset, whose bytes are unchecked; None where none was kept. Raises Damaged for its facts."""
    path, facts = blobs.original(dataset_id), blobs.original_facts(dataset_id)
    if not (path.exists() and facts.exists()):
        return None
    said = OriginalFacts.model_validate_json(read_checked(facts), context=STORED)
    return Original(path, said.name, said.spec)


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where there can be none: between file systems, or on one that has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
