"""The reader and the parts of a pretrained network, from its files; one function per form of files."""

from collections.abc import Callable
from typing import Any

import torch

from worker.backbones import efficientnet, exported_program, npz_resnet, transformers_models
from worker.backbones.backbone_files import BackboneFiles
from worker.backbones.backbone_parts import BackboneParts
from worker.backbones.image_reader import ImageReader
from worker.backbones.number_reader import NumberReader
from worker.backbones.text_reader import TextReader

Reader = ImageReader | TextReader | NumberReader


def open_reader(source: BackboneFiles, params: dict[str, Any]) -> Reader:
    """The reader that turns samples into the network's input. Raises Invalid for files that cannot be used."""
    if source.form == "program":
        return exported_program.reader(source, params["pixel_mean"], params["pixel_deviation"])
    if "length" in params:
        return TextReader.open(source, params["length"])
    return _PICTURES[source.form](source, params["image_size"])


def load_parts(source: BackboneFiles, seen: Reader, params: dict[str, Any]) -> BackboneParts:
    """The network, in parts. Leaves the global random state as it was. Raises Invalid for files that cannot be used."""
    # Layers are initialised at random before weights are loaded.
    with torch.random.fork_rng(devices=[]):
        if isinstance(seen, TextReader):
            return transformers_models.text_parts(source, seen, params["pooling"])
        if source.form == "program" or isinstance(seen, NumberReader):
            return exported_program.parts(source, seen, params["layer"])
        return _PARTS[source.form](source, seen, params["image_size"])


_PICTURES: dict[str, Callable[[BackboneFiles, int | None], ImageReader]] = {
    "efficientnet_lite0": lambda _source, side: efficientnet.pictures(side),
    "arrays": lambda _source, side: npz_resnet.pictures(side),
    "transformers": ImageReader.open,
}
_PARTS: dict[str, Callable[[BackboneFiles, ImageReader, int | None], BackboneParts]] = {
    "efficientnet_lite0": efficientnet.parts,
    "arrays": lambda source, seen, _side: npz_resnet.parts(source, seen),
    "transformers": lambda source, seen, _side: transformers_models.image_parts(source, seen),
}
