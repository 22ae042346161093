"""Encoded images of any mode and size to pixels."""

import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from jaxtyping import UInt8
from PIL import Image, ImageOps

from service.store.greyscale import to_eight_bits

_GREY = ("1", "L", "LA", "La", "F")
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)  # the EXIF tag, and those of its values that swap width and height
_LARGEST, _SMALLEST = 64, 8  # sides that images are scaled to at most and at least, unless the job says how large


@dataclass(frozen=True)
class Frame:
    """Shape to which all images of a dataset are brought: channels (1 or 3), height and width in pixels."""

    channels: int
    height: int
    width: int


def common_frame(images: Iterable[bytes], side: int | None) -> Frame:
    """The frame that suits these images, by their headers: one channel if all are grey, and the commonest size.

    `side` in pixels, when given, makes it a square of that size instead.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    grey = True
    for encoded in images:
        with Image.open(io.BytesIO(encoded)) as image:
            sizes[_upright(image)] += 1
            grey = grey and (image.mode in _GREY or image.mode.startswith("I"))
    width, height = (side, side) if side is not None else sizes.most_common(1)[0][0]
    if side is None:
        scale = min(1.0, _LARGEST / max(width, height))
        width, height = (max(_SMALLEST, round(length * scale)) for length in (width, height))
    return Frame(1 if grey else 3, height, width)


def pixels(encoded: bytes, frame: Frame, white: float | None = None) -> UInt8[np.ndarray, "c h w"]:
    """Decode, turn upright and bring into the frame; for `white` see `upright`.

    Raises OSError or ValueError for what Pillow cannot read.
    """
    # A large JPEG is decoded at a fraction of its size, twice as large as is wanted at least: a fifth of the time.
    image = upright(encoded, "L" if frame.channels == 1 else "RGB", white, 2 * max(frame.width, frame.height))
    if image.size != (frame.width, frame.height):
        image = image.resize((frame.width, frame.height), Image.Resampling.BILINEAR)
    array: npt.NDArray[np.uint8] = np.array(image, dtype=np.uint8)
    return array[None] if frame.channels == 1 else array.transpose(2, 0, 1)


def upright(
    encoded: bytes, mode: Literal["L", "RGB"], white: float | None = None, enough: int | None = None
) -> Image.Image:
    """Decoded as people see it, in 8 bits; `enough` pixels a side may stand for more.

    `white` is the value that is white in greyscale of more than 8 bits, that of the dataset; see `to_eight_bits`.

    Raises OSError or ValueError for what Pillow cannot read.
    """
    with Image.open(io.BytesIO(encoded)) as opened:
        if enough is not None:
            opened.draft(None, (enough, enough))
        image: Image.Image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I") or image.mode == "F":
            image = Image.fromarray(to_eight_bits(np.asarray(image), integers=image.mode != "F", white=white))
        elif image.has_transparency_data:
            # The colour of transparent pixels is arbitrary; people see such images on a page.
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert(mode)


def _upright(image: Image.Image) -> tuple[int, int]:
    # A PNG may keep its orientation behind the pixels; decoding all of them to look there is not worth it.
    known = image.format != "PNG" or "exif" in image.info
    turned = known and image.getexif().get(_ORIENTATION, 1) in _TURNED
    width, height = image.size
    return (height, width) if turned else (width, height)
