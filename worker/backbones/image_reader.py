"""Reads images as a pretrained network expects them: size, crop and colours, in bytes; its stem standardises them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int, UInt8
from torch import Tensor, nn

from worker.backbones.backbone_files import BackboneFiles, invalid_backbone
from worker.data.canonical import Canonical
from worker.data.pixels import Frame, pixels, upright
from worker.data.shape import InputShape
from worker.models.image import Normalise

# Images in one pass and decoded at a time, and the bytes of such images; the larger they are, the fewer.
_TOGETHER, _TOGETHER_BYTES = 32, 2**24
_CHUNK, _CHUNK_BYTES = 256, 2**28


@dataclass(frozen=True)
class ImageReader:
    """Reads images as bytes of shape (channels, height, width).

    `read`: from an encoded image and the value of white in greyscale images of more than 8 bits. `mean`, `deviation`:
    statistics per channel, in bytes, with which the network was trained. `white`: that value for a dataset, if known.
    """

    read: Callable[[bytes, float | None], npt.NDArray[np.uint8]]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    white: float | None = None

    column = "image"

    @classmethod
    def plain(cls, side: int, mean: tuple[float, ...], deviation: tuple[float, ...]) -> "ImageReader":
        """Squares of `side` pixels, in colour."""
        return cls.of(Frame(3, side, side), mean, deviation)

    @classmethod
    def of(cls, frame: Frame, mean: tuple[float, ...], deviation: tuple[float, ...]) -> "ImageReader":
        """Images of the size and channels of `frame`."""
        return cls(lambda encoded, white: pixels(encoded, frame, white), mean, deviation)

    @classmethod
    def open(cls, source: BackboneFiles, side: int | None) -> "ImageReader":
        """As a network's preprocessor_config.json says; `side` overrides its size. Raises Invalid for an unusable file."""
        from transformers import AutoImageProcessor

        try:
            # transformers leaves types out of this.
            processor: Any = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]  # transformers'
                source.folder, backend="pil", trust_remote_code=False
            )
        except (ValueError, OSError, KeyError, ImportError) as error:
            raise invalid_backbone(f"preprocessor_config.json of {source.name} cannot be used: {error}") from error
        size = {} if side is None else _sized(processor, side)
        rescaled = processor.rescale_factor if processor.do_rescale else 1.0
        mean = processor.image_mean if processor.do_normalize else [0.0] * 3
        deviation = processor.image_std if processor.do_normalize else [1.0] * 3

        def read(encoded: bytes, white: float | None) -> npt.NDArray[np.uint8]:
            image = upright(encoded, "RGB", white)
            made = processor(images=image, do_rescale=False, do_normalize=False, return_tensors="np", **size)
            array: npt.NDArray[np.uint8] = np.asarray(made["pixel_values"][0]).round().clip(0, 255).astype(np.uint8)
            return array

        return cls(read, tuple(one / rescaled for one in mean), tuple(one / rescaled for one in deviation))

    def with_white_of(self, dataset: Canonical) -> "ImageReader":
        """The same reader with the value of white of a dataset."""
        return replace(self, white=dataset.white)

    @property
    def normalise(self) -> nn.Module:
        """The module that standardises bytes as in the network's training."""
        return Normalise(InputShape("image", pixel_mean=self.mean, pixel_deviation=self.deviation))

    def chunks(self, dataset: Canonical, rows: Int[Tensor, " k"]) -> Iterator[UInt8[Tensor, "b c h w"]]:
        """Pixels of some rows, in ascending order, in parts. Raises Invalid for a damaged image."""
        done, found = 0, list[Tensor]()
        for batch in dataset.batches([self.column], rows):
            for value in batch.column(0):
                found.append(dataset.image(int(rows[done]), value, self._seen))
                done += 1
                if len(found) >= _count(found[0], _CHUNK, _CHUNK_BYTES):
                    yield torch.stack(found)
                    found = []
        if found:
            yield torch.stack(found)

    def _seen(self, encoded: bytes) -> npt.NDArray[np.uint8]:
        return self.read(encoded, self.white)

    def passes(self, chunk: UInt8[Tensor, "b c h w"], *, even: bool) -> Iterator[tuple[Int[Tensor, " p"], Tensor]]:
        """Batches of a chunk: their rows and pixels. Images have one size, so `even` changes nothing."""
        del even
        for rows in torch.split(torch.arange(len(chunk)), _count(chunk[0], _TOGETHER, _TOGETHER_BYTES)):
            yield rows, chunk[rows]


def _count(image: UInt8[Tensor, "c h w"], most: int, limit: int) -> int:
    """How many images like this one are processed at once: at most `most`, in at most `limit` bytes."""
    return max(1, min(most, limit // max(1, image.nbytes)))


def _sized(processor: object, side: int) -> dict[str, dict[str, int]]:
    """Options of the processor for another size, including the crop."""
    square = {"height": side, "width": side}
    size = {"shortest_edge": side} if "shortest_edge" in getattr(processor, "size", {}) else square
    return {"size": size, "crop_size": square} if getattr(processor, "do_center_crop", False) else {"size": size}
