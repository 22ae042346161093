"""Encoded images: whether they can be decoded, their headers, and PNGs for display."""

import io
import re
import struct
from collections.abc import Callable
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


@dataclass(frozen=True)
class Look:
    """What an encoded image shows once it is decoded. `fault` says why it cannot be a sample; nothing else counts then.

    `brightest` is the largest pixel value of a greyscale image of more than 8 bits, `whole` whether its values are whole numbers.
    `may_have_colours` says that only its pixels can tell.
    """

    fault: str = ""
    size: tuple[int, int] = (0, 0)
    may_have_colours: bool = False
    brightest: float | None = None
    whole: bool = True


def is_image(data: bytes) -> bool:
    """Whether bytes begin as an image does, of a format that is read or of one that is named where it is refused."""
    if unreadable_kind(data):
        return True
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS):
            return True
    except Exception:  # noqa: BLE001 - Pillow raises errors of many kinds for what is none
        return False


def look_at(data: bytes | None, limits: Limits) -> Look:
    """Decode an image completely, once."""
    if not data:
        return Look("no image: empty, or pixels that are no numbers")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = size = image.size
            if width * height > limits.max_pixels:
                return Look(f"too many pixels: {width} x {height}, the limit is {limits.max_pixels:,}")
            deep, may_have_colours = _is_deep(image), image.mode not in _GREY
            image.load()
            if not deep:
                return Look(size=size, may_have_colours=may_have_colours)
            values = np.asarray(image, np.float64)
            brightest = float(values.max(where=np.isfinite(values), initial=0))
            return Look(size=size, brightest=brightest, whole=image.mode != "F")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Look(f"too many pixels: the limit is {limits.max_pixels:,}")
    except UnidentifiedImageError:
        kind = unreadable_kind(data)
        return Look(
            f"a {kind} image, which is not read; convert it to PNG or JPEG" if kind else "not an image that can be read"
        )
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  decoders raise whatever their format's parser meets
        return Look(f"the image is damaged: {str(error)[:200] or type(error).__name__}")


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


@dataclass(frozen=True)
class StoredImage:
    """An encoded image of a dataset, and the pixel value of white where that is not the usual one, see Depth."""

    content: bytes
    white: float | None


@dataclass
class Depth:
    """Brightest pixel value of the greyscale images of more than 8 bits in a dataset.

    Cameras and scanners of 10, 12 or 14 bits store their values in 16 bits unchanged, so white is found over all images. Scaled
    each by itself, a dark image would look like a bright one.
    """

    largest: float | None = None
    whole: bool = True

    def add(self, look: Look) -> None:
        """Add one image that can be decoded; images of 8 bits change nothing."""
        if look.brightest is not None:
            self.whole = self.whole and look.whole
            self.largest = max(self.largest or 0, look.brightest)

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

    def add(self, look: Look, data: Callable[[], bytes]) -> None:
        """Add one image that can be decoded. Pixels are looked at until the first colour is found."""
        self.largest_side = max(self.largest_side, *look.size)
        if self.greyscale and look.may_have_colours:
            self.greyscale = not _has_colours(data())

    @property
    def kind(self) -> ImageKind | None:
        """The same as a value; None where no image was added."""
        return ImageKind(greyscale=self.greyscale, largest_side=self.largest_side) if self.largest_side else None


def _has_colours(data: bytes) -> bool:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        image.draft("RGB", (_DRAFT, _DRAFT))  # a large JPEG is decoded at a fraction of its size
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")), -1, 0)
    return not ((red == green).all() and (green == blue).all())


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I") or image.mode == "F"


def shown(data: bytes, white: float | None, side: int) -> bytes:
    """An encoded image as a PNG that a browser shows as it is: upright, in 8 bits, each side of `side` pixels at most."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
        opened.draft(None, (side, side))  # a large JPEG is decoded at a fraction of its size
        ImageOps.exif_transpose(opened, in_place=True)  # as all that follows, without a copy where nothing changes
        image: Image.Image = opened
        if _is_deep(image):
            image = Image.fromarray(to_eight_bits(np.asarray(image), integers=image.mode != "F", white=white))
        elif image.mode not in ("L", "RGB", "RGBA") or image.has_transparency_data:
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        image.thumbnail((side, side))
        file = io.BytesIO()
        image.save(file, "PNG")
    return file.getvalue()


def decoded_pixels(image: StoredImage, side: int) -> int:
    """How many pixels `shown` decodes, by the header alone. One of greyscale of more than 8 bits counts fourfold: it is scaled in floats."""
    with Image.open(io.BytesIO(image.content), formats=_FORMATS) as opened:
        opened.draft(None, (side, side))
        return opened.width * opened.height * (4 if _is_deep(opened) else 1)


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
