"""Small pictures: as people see the image, few bytes, never a failure."""

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from service.report.pictures import CARD, ROW, thumbnail


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    packed = io.BytesIO()
    image.save(packed, form, **options)
    return packed.getvalue()


def decoded(uri: str) -> Image.Image:
    head, _, body = uri.partition(",")
    assert head == "data:image/webp;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA", "CMYK"])
@pytest.mark.parametrize("size", [(28, 20), (300, 200)])
def test_every_mode_becomes_a_small_picture_of_its_shape(mode: str, size: tuple[int, int]) -> None:
    picture = thumbnail(encoded(Image.new(mode, size), "TIFF" if mode == "CMYK" else "PNG"))
    assert picture is not None
    found = decoded(picture.uri)
    tiny = size == (28, 20)
    assert (picture.tiny, found.size) == ((True, size) if tiny else (False, (96, 64)))
    assert len(picture.uri) < 3_000


def test_few_pixels_are_kept_as_they_are() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    picture = thumbnail(encoded(Image.fromarray(pixels)))
    assert picture is not None
    assert np.array_equal(np.asarray(decoded(picture.uri)), pixels)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_greyscale_is_not_white(dtype: type) -> None:
    ramp: npt.NDArray[Any] = np.linspace(0, 60_000, 64).astype(dtype).reshape(8, 8)
    picture = thumbnail(encoded(Image.fromarray(ramp), "TIFF"))
    assert picture is not None
    grey = np.asarray(decoded(picture.uri).convert("L")).ravel().astype(int)
    assert (np.diff(grey) >= 0).all()
    assert grey[0] < 5
    assert len(set(grey.tolist())) > 50


def test_a_turned_photograph_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = thumbnail(encoded(Image.new("RGB", (400, 100)), "JPEG", exif=exif))
    assert picture is not None
    assert decoded(picture.uri).size == (24, 96)


def test_what_cannot_be_decoded_or_takes_too_long_has_no_picture() -> None:
    whole = encoded(Image.effect_noise((60, 60), 9))
    assert thumbnail(b"no image") is None
    assert thumbnail(whole[: len(whole) // 2]) is None
    large = Image.new("L", (3_000, 2_100))
    assert thumbnail(encoded(large)) is None
    assert thumbnail(encoded(large, "JPEG")) is not None


@pytest.mark.parametrize("side", [CARD, ROW])
def test_a_picture_of_noise_has_a_bounded_size(side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    picture = thumbnail(encoded(Image.fromarray(pixels)), side)
    assert picture is not None
    assert decoded(picture.uri).size == (side, side)
    assert len(picture.uri) < side * side
