"""From the files of a network to what reads samples for it, and to its parts. One function a form of files."""

from collections.abc import Callable
from typing import Any

import torch

from worker.backbones import arrays, efficientnet, families, programs
from worker.backbones.images import Pictures
from worker.backbones.parts import Parts
from worker.backbones.rows import Rows
from worker.backbones.sources import Source
from worker.backbones.words import Words

Reader = Pictures | Words | Rows


def reader(source: Source, params: dict[str, Any]) -> Reader:
    """What makes bytes, tokens or numbers of samples. Raises Invalid for files that cannot be used."""
    if source.form == "program":
        return programs.reader(source, params["pixel_mean"], params["pixel_deviation"])
    if "length" in params:
        return Words.open(source, params["length"])
    return _PICTURES[source.form](source, params["image_size"])


def parts(source: Source, seen: Reader, params: dict[str, Any]) -> Parts:
    """The network. The global random state is left as it was. Raises Invalid for files that cannot be used."""
    # Layers are drawn at random before weights take their place.
    with torch.random.fork_rng(devices=[]):
        if isinstance(seen, Words):
            return families.text_parts(source, seen, params["pooling"])
        if source.form == "program" or isinstance(seen, Rows):
            return programs.parts(source, seen, params["layer"])
        return _PARTS[source.form](source, seen, params["image_size"])


_PICTURES: dict[str, Callable[[Source, int | None], Pictures]] = {
    "efficientnet_lite0": lambda _source, side: efficientnet.pictures(side),
    "arrays": lambda _source, side: arrays.pictures(side),
    "transformers": Pictures.open,
}
_PARTS: dict[str, Callable[[Source, Pictures, int | None], Parts]] = {
    "efficientnet_lite0": efficientnet.parts,
    "arrays": lambda source, seen, _side: arrays.parts(source, seen),
    "transformers": lambda source, seen, _side: families.image_parts(source, seen),
}
