"""Encoded images: whether they can be decoded, their headers, and PNGs for display."""

import io
import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError, features

from service.domain.dataset import ImageKind
from service.ingest.limits import Limits
from service.store.greyscale import to_eight_bits

# Those that a browser or a camera makes; others of Pillow's run programs or read other files.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", *(("AVIF",) if features.check("avif") else ()))
# Formats that are not read, by their first bytes.
_UNREADABLE = (
    (re.compile(rb"....ftyp(avif|avis)", re.DOTALL), "AVIF"),
    (re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL), "HEIC"),
    (re.compile(rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\n"), "JPEG XL"),
    (re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xffO\xffQ"), "JPEG 2000"),
    (re.compile(rb".{128}DICM", re.DOTALL), "DICOM"),
    (re.compile(rb"8BPS"), "Photoshop"),
)
_GREY = ("1", "L", "LA", "La")
_DRAFT = 64  # pixels: enough to see whether there are colours
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = (b"iCCP", b"iTXt", b"zTXt", b"tEXt")


def fault_of(data: bytes | None, limits: Limits) -> str:
    """Why an encoded image cannot be a sample; empty for one that can be decoded completely."""
    if not data:
        return "no image: empty, or pixels that are no numbers"
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > limits.max_pixels:
                return f"too many pixels: {width} x {height}, the limit is {limits.max_pixels:,}"
            image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return f"too many pixels: the limit is {limits.max_pixels:,}"
    except UnidentifiedImageError:
        kind = unreadable_kind(data)
        return (
            f"a {kind} image, which is not read; convert it to PNG or JPEG" if kind else "not an image that can be read"
        )
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  decoders raise whatever their format's parser meets
        return f"the image is damaged: {str(error)[:200] or type(error).__name__}"
    return ""


def unreadable_kind(data: bytes) -> str:
    """Name of an image format that is not read, by its first 132 bytes; empty for others and for what is no image."""
    kind = next((name for mark, name in _UNREADABLE if mark.match(data)), "")
    return "" if kind in _FORMATS else kind


def without_texts(data: bytes) -> bytes:
    """A PNG without its texts and colour profile, which change no pixel; Pillow reads no PNG in which they are long.

    Other data is given back as it is.
    """
    if not data.startswith(_PNG):
        return data
    kept, at = [_PNG], len(_PNG)
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        end = at + 12 + length
        if kind not in _PNG_TEXTS:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


@dataclass
class Depth:
    """Brightest pixel value of the greyscale images of more than 8 bits in a dataset.

    Cameras and scanners of 10, 12 or 14 bits store their values in 16 bits unchanged, so white is found over all images. Scaled
    each by itself, a dark image would look like a bright one.
    """

    largest: float | None = None
    whole: bool = True

    def add(self, data: bytes) -> None:
        """Add one image that can be decoded; images of 8 bits change nothing."""
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if not _is_deep(image):
                return
            values = np.asarray(image, np.float64)
            self.whole = self.whole and image.mode != "F"
        brightest = float(values.max(where=np.isfinite(values), initial=0))
        self.largest = max(self.largest or 0, brightest)

    @property
    def white(self) -> float | None:
        """The pixel value of white: for whole numbers the largest of their bit depth, at least 255; for fractions the largest."""
        if self.largest is None or not self.whole:
            return self.largest
        return 2.0 ** max(8, int(self.largest).bit_length()) - 1


@dataclass
class Appearance:
    """Whether any image of a dataset has colours, and the longest side of all."""

    greyscale: bool = True
    largest_side: int = 0

    def add(self, data: bytes) -> None:
        """Add one image that can be decoded. Pixels are read until the first colour is found."""
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            self.largest_side = max(self.largest_side, *image.size)
            if self.greyscale and not _is_deep(image) and image.mode not in _GREY:
                image.draft("RGB", (_DRAFT, _DRAFT))  # a large JPEG is decoded at a fraction of its size
                red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)
                self.greyscale = bool((red == green).all() and (green == blue).all())

    @property
    def kind(self) -> ImageKind | None:
        """The same as a value; None where no image was added."""
        return ImageKind(greyscale=self.greyscale, largest_side=self.largest_side) if self.largest_side else None


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def shown(data: bytes, white: float | None, side: int) -> bytes:
    """An encoded image as a PNG that a browser shows as it is: upright, in 8 bits, each side of `side` pixels at most."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
        opened.draft(None, (side, side))  # a large JPEG is decoded at a fraction of its size
        image: Image.Image = ImageOps.exif_transpose(opened)
        if _is_deep(image):
            image = Image.fromarray(to_eight_bits(np.asarray(image), integers=image.mode != "F", white=white))
        elif image.has_transparency_data:
            image = image.convert("RGBA")
        elif image.mode != "L":
            image = image.convert("RGB")
        image.thumbnail((side, side))
        file = io.BytesIO()
        image.save(file, "PNG")
    return file.getvalue()


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height, from the header alone."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        return image.size


def content_type(data: bytes) -> str:
    """The media type of an encoded image."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        return Image.MIME.get(str(image.format), "application/octet-stream")


def described(data: bytes) -> dict[str, Any]:
    """Format, size and length of an encoded image."""
    width, height = size_of(data)
    return {"content_type": content_type(data), "width": width, "height": height, "bytes": len(data)}
