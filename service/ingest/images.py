"""Whether an encoded image can be decoded, and what its header says."""

import io
from typing import Any

from PIL import Image, UnidentifiedImageError

from service.ingest.limits import Limits

# Those that a browser or a camera makes; others of Pillow's run programs or read other files.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "MPO")


def fault_of(data: bytes | None, limits: Limits) -> str:
    """Why these bytes are no sample; empty for an image that decodes to its last pixel."""
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
        return "not an image that can be read"
    except Exception as error:  # noqa: BLE001  decoders raise whatever their format's parser meets
        return f"the image is damaged: {str(error)[:200] or type(error).__name__}"
    return ""


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
