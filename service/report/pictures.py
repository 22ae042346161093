"""Small pictures of images, as data URIs: a page that shows them needs no other file."""

import base64
import io

import numpy as np
from PIL import Image, ImageOps

from service.report.facts import Picture

_SIDE = 96  # pixels: sharp at half the size on a fine screen
_TINY = 48  # an image as small is kept as it is, pixel by pixel
_QUALITY = 80
_PIXELS = 6_000_000  # to be decoded of one image: a fifth of a second
_NUMERIC = ("I", "F")  # modes of deep greyscale begin so


def thumbnail(encoded: bytes) -> Picture | None:
    """The image as people see it, upright and in 8 bits; None where decoding it is not worth the time, or fails."""
    try:
        with Image.open(io.BytesIO(encoded)) as opened:
            opened.draft(None, (2 * _SIDE, 2 * _SIDE))  # a large JPEG is decoded at a fraction of its size
            if opened.width * opened.height > _PIXELS:
                return None
            image: Image.Image = ImageOps.exif_transpose(opened)
            if image.mode.startswith(_NUMERIC):
                image = _shallow(image)
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # it was readable when it was uploaded; a report is not the place to fail
    tiny = max(image.size) <= _TINY
    image.thumbnail((_SIDE, _SIDE), reducing_gap=2)
    packed = io.BytesIO()
    image.save(packed, "WEBP", lossless=tiny, quality=_QUALITY)
    return Picture(f"data:image/webp;base64,{base64.b64encode(packed.getvalue()).decode()}", tiny)


def _shallow(image: Image.Image) -> Image.Image:
    """Deep greyscale in 8 bits: whole numbers by the range of 16 bits, fractions by the image's largest."""
    deep = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
    top = 65535.0 if image.mode.startswith("I") else max(float(deep.max()), 1e-9)
    return Image.fromarray(np.round(np.clip(deep / top, 0, 1) * 255).astype(np.uint8))
