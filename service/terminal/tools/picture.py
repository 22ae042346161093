"""Images of samples, in a size and a form that a model can see."""

import io
from dataclasses import dataclass
from urllib.parse import unquote

from PIL import Image, UnidentifiedImageError

from usual_suspects.client import ApiError, Client

_LARGEST = 1024  # pixels of the longer side
_SMALLEST = 256


@dataclass(frozen=True)
class ShownImage:
    """A PNG image of a sample."""

    sample: str
    png: bytes


def picture_of(client: Client, sample: str, media: str | None) -> ShownImage:
    """The image at the path `media` of the API. Raises ApiError where the sample has none."""
    if media is None:
        raise ApiError("No image", f"{sample} is no image; its values are in the answer without `image`")
    content = b"".join(client.stream(*(unquote(part) for part in media.strip("/").split("/"))))
    try:
        with Image.open(io.BytesIO(content)) as opened:
            shown = _sized(opened.convert("RGBA" if opened.has_transparency_data else "RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ApiError("No image", f"{sample} is no image that can be shown") from error
    png = io.BytesIO()
    shown.save(png, "PNG")
    return ShownImage(sample, png.getvalue())


def _sized(image: Image.Image) -> Image.Image:
    """A large image made smaller; a tiny one larger by a whole number, since models see little in 28 pixels."""
    longer = max(image.size)
    if longer > _LARGEST:
        image.thumbnail((_LARGEST, _LARGEST))
        return image
    times = -(-_SMALLEST // longer)
    width, height = image.size
    return image if times == 1 else image.resize((width * times, height * times), Image.Resampling.NEAREST)
