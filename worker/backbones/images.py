"""Images as a pretrained network wants them: size, crop, and colours, in bytes; its stem makes numbers of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int, UInt8
from torch import Tensor, nn

from worker.backbones.sources import Source, unfit
from worker.data.decode import Canonical
from worker.data.pixels import Frame, pixels, upright
from worker.data.shape import InputShape
from worker.models.image import Normalise

# Images in one pass and decoded at a time, and the bytes of such images; the larger they are, the fewer.
_TOGETHER, _TOGETHER_BYTES = 32, 2**24
_CHUNK, _CHUNK_BYTES = 256, 2**28


@dataclass(frozen=True)
class Pictures:
    """`read` makes bytes (channels, height, width) of an encoded image and of what is white in deep greyscale ones.

    `mean` and `deviation` standardise bytes, a colour each.
    """

    read: Callable[[bytes, float | None], npt.NDArray[np.uint8]]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    white: float | None = None

    column = "image"

    @classmethod
    def plain(cls, side: int, mean: tuple[float, ...], deviation: tuple[float, ...]) -> "Pictures":
        """Squares of that side, in colour."""
        return cls.of(Frame(3, side, side), mean, deviation)

    @classmethod
    def of(cls, frame: Frame, mean: tuple[float, ...], deviation: tuple[float, ...]) -> "Pictures":
        """Of that frame."""
        return cls(lambda encoded, white: pixels(encoded, frame, white), mean, deviation)

    @classmethod
    def open(cls, source: Source, side: int | None) -> "Pictures":
        """As a network's folder says; `side` is another than its own. Raises Invalid for what is not known here."""
        from transformers import AutoImageProcessor

        try:
            # transformers leaves types out of this.
            processor: Any = AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]  # transformers'
                source.folder, backend="pil", trust_remote_code=False
            )
        except (ValueError, OSError, KeyError, ImportError) as error:
            raise unfit(f"preprocessor_config.json of {source.name} cannot be used: {error}") from error
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

    def lit(self, dataset: Canonical) -> "Pictures":
        """The same for images as bright as those of a dataset."""
        return replace(self, white=dataset.white)

    @property
    def normalise(self) -> nn.Module:
        """Bytes to the numbers that the network was trained on."""
        return Normalise(InputShape("image", pixel_mean=self.mean, pixel_deviation=self.deviation))

    def chunks(self, dataset: Canonical, rows: Int[Tensor, " k"]) -> Iterator[UInt8[Tensor, "b c h w"]]:
        """Pixels of the named rows, which ascend, in parts. Raises Invalid for a damaged image."""
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
        """Rows of a chunk that go through a network together, and what goes; images are of one size, `even` or not."""
        del even
        for rows in torch.split(torch.arange(len(chunk)), _count(chunk[0], _TOGETHER, _TOGETHER_BYTES)):
            yield rows, chunk[rows]


def _count(image: UInt8[Tensor, "c h w"], most: int, limit: int) -> int:
    """How many images like this one are taken at once: `most`, or what has `limit` bytes."""
    return max(1, min(most, limit // max(1, image.nbytes)))


def _sized(processor: object, side: int) -> dict[str, dict[str, int]]:
    """The processor's own words for another size, the crop included."""
    square = {"height": side, "width": side}
    size = {"shortest_edge": side} if "shortest_edge" in getattr(processor, "size", {}) else square
    return {"size": size, "crop_size": square} if getattr(processor, "do_center_crop", False) else {"size": size}
