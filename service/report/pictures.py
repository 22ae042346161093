"""Thumbnails of images as data URIs: a page with them needs no other file."""

import base64
import io

import numpy as np
from PIL import Image, ImageOps

from service.report.facts import Picture

CARD, ROW = 256, 96  # pixels of the longer side of a picture on a card and in a row: sharp at half the size
_TINY = 48  # an image as small is kept as it is, pixel by pixel
_QUALITY = 75
_PIXELS = 6_000_000  # the largest image that is decoded, in a fifth of a second
_NUMERIC = ("I", "F")  # modes of deep greyscale begin so


def thumbnail(encoded: bytes, side: int = ROW) -> Picture | None:
    """A thumbnail, upright and in 8 bits; None when the image is too large to decode in time, or damaged."""
    try:
        with Image.open(io.BytesIO(encoded)) as opened:
            opened.draft(None, (2 * side, 2 * side))  # a large JPEG is decoded at a fraction of its size
            if opened.width * opened.height > _PIXELS:
                return None
            image: Image.Image = ImageOps.exif_transpose(opened)
            if image.mode.startswith(_NUMERIC):
                image = _to_8_bits(image)
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # the upload was checked before; a report is shown without the picture
    tiny = max(image.size) <= _TINY
    image.thumbnail((side, side), reducing_gap=2)
    encoded_small = io.BytesIO()
    image.save(encoded_small, "WEBP", lossless=tiny, quality=_QUALITY)
    return Picture(f"data:image/webp;base64,{base64.b64encode(encoded_small.getvalue()).decode()}", tiny)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Deep greyscale in 8 bits: integers scaled by the range of 16 bits, floats by the largest value of the image."""
    deep = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
    top = 65535.0 if image.mode.startswith("I") else max(float(deep.max()), 1e-9)
    return Image.fromarray(np.round(np.clip(deep / top, 0, 1) * 255).astype(np.uint8))
