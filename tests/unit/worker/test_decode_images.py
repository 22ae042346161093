"""Image files to pixels."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from service.domain.errors import Invalid
from tests.unit.worker.canonical import canonical, checker, encoded
from worker.data.canonical import Canonical
from worker.data.encoding import Encoder


def images(path: Path, *files: bytes) -> Canonical:
    return canonical(path / "data.parquet", "image", {"image": ("image", list(files))})


def decoded(path: Path, *files: bytes, size: int | None = None) -> tuple[Encoder, Tensor]:
    dataset = images(path, *files)
    encoder = Encoder.fit(dataset, torch.arange(len(files)), {"image_size": size})
    (pixels,) = encoder.encode(dataset, torch.arange(len(files)))
    assert pixels.dtype == torch.uint8
    return encoder, pixels


def test_pixels_come_as_they_are(tmp_path: Path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (9, 13, 3)).astype(np.uint8)
    _, pixels = decoded(tmp_path, *[encoded(colour)] * 7)
    assert torch.equal(pixels, torch.from_numpy(colour.transpose(2, 0, 1).copy()).expand(7, 3, 9, 13))


def test_images_that_are_all_grey_have_one_channel(tmp_path: Path) -> None:
    grey = checker(9, 13, channels=1)
    _, pixels = decoded(tmp_path, encoded(grey), encoded(grey, "LA"), encoded(grey, "1"))
    assert pixels.shape == (3, 1, 9, 13)
    assert torch.equal(pixels[0, 0], torch.from_numpy(grey))
    assert torch.equal(pixels[1], pixels[0])


def test_one_colour_image_makes_them_all_colour(tmp_path: Path) -> None:
    grey = encoded(checker(9, 13, channels=1))
    _, pixels = decoded(tmp_path, grey, encoded(checker(9, 13)), grey)
    assert pixels.shape == (3, 3, 9, 13)
    assert torch.equal(pixels[0, 0], pixels[0, 2])


@pytest.mark.parametrize(
    ("mode", "form"), [("P", "PNG"), ("P", "GIF"), ("RGBA", "PNG"), ("CMYK", "JPEG"), ("RGB", "WEBP")]
)
def test_every_mode_becomes_the_same_picture(tmp_path: Path, mode: str, form: str) -> None:
    flat = np.full((10, 12, 3), (204, 102, 51), np.uint8)
    _, pixels = decoded(tmp_path, encoded(flat), encoded(flat, mode, form))
    assert (pixels[1].int() - pixels[0].int()).abs().max() <= 20


def test_transparent_pixels_look_white(tmp_path: Path) -> None:
    layered = np.zeros((8, 10, 4), np.uint8)
    layered[:, :5, 3] = 255
    palette = Image.fromarray((layered[:, :, 3] // 255).astype(np.uint8), "L").convert("P")
    palette.putpalette([0] * 6)
    file = io.BytesIO()
    palette.save(file, "PNG", transparency=bytes([0, 255]))
    _, pixels = decoded(tmp_path, encoded(layered), file.getvalue())
    assert bool((pixels[:, :, :, :5] == 0).all())
    assert bool((pixels[:, :, :, 5:] == 255).all())


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    deep = (np.arange(120).reshape(10, 12) * 550).astype(np.uint16)
    _, pixels = decoded(tmp_path, encoded(deep), encoded(deep, form="TIFF"))
    assert pixels.shape == (2, 1, 10, 12)
    expected = torch.from_numpy(np.round(deep / 65535 * 255).astype(np.uint8))
    assert torch.equal(pixels[0, 0], expected)
    assert torch.equal(pixels[1, 0], expected)


def test_fractions_are_scaled_and_what_is_no_number_is_black(tmp_path: Path) -> None:
    fractions = np.linspace(0, 3, 120, dtype=np.float32).reshape(10, 12)
    fractions[0, :3] = (np.nan, np.inf, -1)
    _, pixels = decoded(tmp_path, encoded(fractions, form="TIFF"))
    assert pixels[0, 0, 0, :3].tolist() == [0, 0, 0]
    assert pixels[0, 0, 9, 11] == 255


def test_the_commonest_size_of_the_training_rows_wins(tmp_path: Path) -> None:
    small, large = encoded(checker(10, 14)), encoded(checker(30, 20))
    dataset = images(tmp_path, small, large, small, large, large)
    encoder = Encoder.fit(dataset, torch.arange(4)[torch.tensor([0, 1, 2])], {})
    assert encoder.shape.image == (3, 10, 14)
    (pixels,) = encoder.encode(dataset, torch.arange(5))
    assert pixels.shape == (5, 3, 10, 14)
    assert not torch.equal(pixels[0], pixels[1])


@pytest.mark.parametrize(
    ("height", "width", "expected"), [(128, 96, (64, 48)), (4, 40, (8, 40)), (1000, 20, (64, 8)), (64, 50, (64, 50))]
)
def test_sides_are_brought_between_8_and_64(tmp_path: Path, height: int, width: int, expected: tuple[int, int]) -> None:
    encoder, _ = decoded(tmp_path, encoded(checker(height, width, channels=1)))
    assert encoder.shape.image == (1, *expected)


def test_the_asked_size_is_taken(tmp_path: Path) -> None:
    _, pixels = decoded(tmp_path, encoded(checker(10, 14)), encoded(checker(80, 90)), size=24)
    assert pixels.shape == (2, 3, 24, 24)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_scaled_picture_is_the_same_picture(tmp_path: Path, channels: int) -> None:
    halves = np.zeros((40, 60), np.uint8)
    halves[:, 30:] = 200
    large = encoded(halves, None if channels == 1 else "RGB")
    small = encoded(checker(20, 12, channels))
    _, pixels = decoded(tmp_path, small, large, small)
    assert pixels.shape == (3, channels, 20, 12)
    assert bool((pixels[1, :, :, :5] == 0).all())
    assert bool((pixels[1, :, :, 7:] == 200).all())


@pytest.mark.parametrize(("orientation", "turned"), [(1, False), (3, False), (6, True), (8, True)])
def test_photographs_stand_upright(tmp_path: Path, orientation: int, turned: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    grey = (np.arange(10)[:, None] * 16 + np.arange(14)[None]).astype(np.uint8)
    _, pixels = decoded(tmp_path, encoded(grey, exif=exif))
    upright: Any = {1: grey, 3: grey[::-1, ::-1], 6: np.rot90(grey, -1), 8: np.rot90(grey)}[orientation]
    assert pixels.shape[2:] == ((14, 10) if turned else (10, 14))
    assert torch.equal(pixels[0, 0], torch.from_numpy(upright.copy()))


def test_statistics_of_pixels_come_from_the_training_rows_alone(tmp_path: Path) -> None:
    grey = [np.full((8, 9), value, np.uint8) for value in (10, 30, 250)]
    dataset = images(tmp_path, *(encoded(picture) for picture in grey))
    encoder = Encoder.fit(dataset, torch.arange(2), {})
    assert encoder.shape.pixel_mean == (20.0,)
    assert encoder.shape.pixel_deviation == (10.0,)


def test_black_images_have_a_deviation_to_divide_by(tmp_path: Path) -> None:
    encoder, _ = decoded(tmp_path, *[encoded(np.zeros((8, 9), np.uint8))] * 3)
    assert encoder.shape.pixel_deviation == (1.0,)


def test_a_damaged_image_is_told_by_its_sample(tmp_path: Path) -> None:
    whole = encoded(np.random.default_rng(0).integers(0, 256, (20, 22)).astype(np.uint8))
    with pytest.raises(Invalid, match="row-1 cannot be read"):
        decoded(tmp_path, whole, whole[: len(whole) // 2], whole)


def test_a_large_photograph_shrinks_to_the_same_picture_however_it_is_stored(tmp_path: Path) -> None:
    waves = np.sin(np.linspace(0, 9, 1200))[:, None] * np.cos(np.linspace(0, 7, 900))[None]
    photograph = np.stack([127 + 120 * waves, 127 - 90 * waves, 60 + 50 * waves], 2).astype(np.uint8)
    _, pixels = decoded(tmp_path, encoded(photograph, form="JPEG"), encoded(photograph))
    assert pixels.shape == (2, 3, 64, 48)
    assert int((pixels[0].int() - pixels[1].int()).abs().max()) <= 6


def test_threads_decode_the_same_pixels_as_one(tmp_path: Path) -> None:
    dataset = images(tmp_path, *(encoded(checker(8 + place % 5, 9)) for place in range(150)))
    rows, threads = torch.arange(0, 150, 2), torch.get_num_threads()
    encoder = Encoder.fit(dataset, rows, {})
    try:
        found = []
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(encoder.encode(dataset, rows)[0])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)
    assert not torch.equal(found[0][0], found[0][1])
