"""Segmentation masks beside images: pictures of which pixels belong to what, which are no samples."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.ingest.readers.listing import Member
from service.ingest.values import split_name

_MASK_WORDS = frozenset(
    ("mask", "masks", "label", "labels", "annotation", "annotations", "annot", "annots", "segmentation", "segmentations", "segs", "gt",
     "groundtruth", "gtfine", "matte", "mattes", "segmentationclass", "trimaps")
)  # fmt: skip
_IMAGE_WORDS = frozenset(
    ("image", "images", "img", "imgs", "jpegimages", "photo", "photos", "picture", "pictures", "input", "inputs", "raw", "rgb", "original",
     "originals", "leftimg8bit", "data", "frames")
)  # fmt: skip
_MASK_SUFFIX = re.compile(r"(?i)[_-](mask|segmentation|groundtruth)([_-]?\d+)?$")


@dataclass(frozen=True)
class MaskPairs:
    """Masks by path, and the two folders of the first pair; both are empty without masks."""

    masks: frozenset[str]
    folders: tuple[str, str] | None = None


def masks_of(images: Sequence[Member]) -> MaskPairs:
    """The masks in folders of their own, such as `masks/7.png` beside `images/7.jpg`, by the names of the folders."""
    children: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for folder in {member.path.rpartition("/")[0] for member in images}:
        parts = tuple(folder.split("/"))
        for place, part in enumerate(parts):
            children[parts[:place]].add(part)
    found: dict[tuple[str, ...], str] = {}
    for above, names in children.items():
        masks = {name for name in names if _words(name) & _MASK_WORDS}
        others = names - masks
        # A class may be called masks where it stands beside shirts and shoes.
        if masks and others and all(_is_image_folder(name, masks) for name in others):
            found |= {(*above, name): "/".join((*above, min(others))) for name in masks}
    paths = frozenset(member.path for member in images if _lies_in(member.path, found))
    return MaskPairs(paths, next(((images, "/".join(folder)) for folder, images in found.items()), None))


def _lies_in(path: str, folders: Mapping[tuple[str, ...], str]) -> bool:
    parts = tuple(path.split("/"))
    return any(parts[:depth] in folders for depth in range(1, len(parts))) if folders else False


def _words(name: str) -> set[str]:
    return set(re.split(r"[\W_]+", name.lower().replace("ground_truth", "groundtruth")))


def _is_image_folder(name: str, masks: set[str]) -> bool:
    """Whether a folder holds the images of masks: `images`, or `train` beside `train_labels`."""
    beside = split_name(name) is not None and any(name.lower() in one.lower() for one in masks)
    return beside or bool(_words(name) & _IMAGE_WORDS)


def masks_beside(images: Sequence[Member]) -> dict[str, str]:
    """Masks in the folder of their image, such as `7_mask.png` beside `7.png`: the path of the image by theirs."""
    stems = {member.path.rpartition(".")[0]: member.path for member in images}
    found = {path: stems.get(_MASK_SUFFIX.sub("", stem)) for stem, path in stems.items() if _MASK_SUFFIX.search(stem)}
    return {path: image for path, image in found.items() if image is not None}
