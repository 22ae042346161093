"""Deep greyscale: what is white is found over all images of a dataset, kept with it, and used wherever it is shown."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from service.domain.dataset import WHITE_KEY, ImageKind
from service.ingest.corrected import correct
from service.ingest.images import shown
from service.ingest.rows import sample_image
from tests.unit.ingest.uploads import Take, png, zip_of
from worker.data.canonical import open_canonical
from worker.data.encoding import Encoder


def grey(value: float, kind: str = "PNG", dtype: Any = np.uint16) -> bytes:
    """An image from black to a value."""
    file = io.BytesIO()
    Image.fromarray(np.linspace(0, value, 120).reshape(10, 12).astype(dtype)).save(file, kind)
    return file.getvalue()


def white_of(path: Path) -> float | None:
    kept = pq.read_metadata(path).metadata.get(WHITE_KEY)
    return None if kept is None else float(kept)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize(
    ("brightest", "white"), [(90, 255), (1000, 1023), (3000, 4095), (4095, 4095), (9000, 16383), (65535, 65535)]
)
def test_white_is_the_largest_number_of_as_many_bits_as_the_brightest_image_has(
    take: Take, kind: str, brightest: int, white: int
) -> None:
    suffix = kind.lower()
    files = {f"a/1.{suffix}": grey(brightest, kind), f"a/2.{suffix}": grey(80, kind), f"b/1.{suffix}": grey(60, kind)}
    assert white_of(take(zip_of(files), "deep.zip").data) == white


def test_images_of_eight_bits_have_no_say(take: Take) -> None:
    assert white_of(take(zip_of({"a/1.png": png(), "b/1.png": png(value=9)}), "plain.zip").data) is None
    mixed = take(zip_of({"a/1.png": grey(2000), "b/1.png": png(value=255)}), "mixed.zip")
    assert white_of(mixed.data) == 2047


@pytest.mark.parametrize(
    ("first", "kind", "greyscale"),
    [
        (Image.new("L", (9, 30), 7), "PNG", True),
        (Image.new("L", (9, 30), 7), "JPEG", True),
        (Image.new("L", (9, 30), 7).convert("RGB"), "PNG", True),
        (Image.new("L", (9, 30), 7).convert("RGB"), "JPEG", True),
        (Image.new("L", (9, 30), 7).convert("P"), "PNG", True),
        (Image.new("RGB", (9, 30), (7, 7, 9)), "PNG", False),
        (Image.new("RGB", (300, 9), (200, 20, 20)), "JPEG", False),
        (Image.fromarray(np.full((30, 9), 2000, np.uint16)), "PNG", True),
    ],
)
def test_a_dataset_says_whether_its_images_have_colours_and_how_large_they_are(
    take: Take, first: Image.Image, kind: str, greyscale: bool
) -> None:
    file = io.BytesIO()
    first.save(file, kind)
    found = take(zip_of({f"a/1.{kind.lower()}": file.getvalue(), "b/1.png": grey(80)}), "x.zip").found
    assert found.images == ImageKind(greyscale=greyscale, largest_side=max(first.size))


def test_what_has_no_images_says_nothing_of_them(take: Take) -> None:
    assert take(b"x,label\n1,a\n2,b\n3,a\n", "table.csv").found.images is None


def test_of_fractions_the_largest_of_all_images_is_white(take: Take) -> None:
    odd = np.linspace(0, 0.5, 120).reshape(10, 12).astype(np.float32)
    odd[0, :3] = (np.nan, np.inf, -7)
    file = io.BytesIO()
    Image.fromarray(odd).save(file, "TIFF")
    outcome = take(zip_of({"a/1.tiff": grey(0.75, "TIFF", np.float32), "b/1.tiff": file.getvalue()}), "deep.zip")
    assert white_of(outcome.data) == 0.75


def test_twelve_bits_fill_the_range_and_stay_as_bright_to_each_other(take: Take) -> None:
    outcome = take(zip_of({"a/1.png": grey(4000), "b/1.png": grey(1000)}), "deep.zip")
    dataset = open_canonical(outcome.data)
    rows = torch.arange(2)
    (pixels,) = Encoder.fit(dataset, rows, {}).encode(dataset, rows)
    assert pixels.amax((1, 2, 3)).tolist() == [249, 62]  # 4000 / 4095 and 1000 / 4095 of 255


def test_another_dataset_is_as_bright_as_the_one_that_was_trained_on(take: Take, tmp_path: Path) -> None:
    first = take(zip_of({"a/1.png": grey(4000), "b/1.png": grey(1000)}), "train.zip").data.rename(tmp_path / "train")
    second = take(zip_of({"a/1.png": grey(1000), "b/1.png": grey(500)}), "test.zip").data
    rows = torch.arange(2)
    (pixels,) = Encoder.fit(open_canonical(first), rows, {}).encode(open_canonical(second), rows)
    assert pixels.amax((1, 2, 3)).tolist() == [62, 31]


def test_a_corrected_dataset_is_as_bright_as_its_original(take: Take, tmp_path: Path) -> None:
    outcome = take(zip_of({"a/1.png": grey(4000), "a/2.png": grey(200), "b/1.png": grey(100)}), "deep.zip")
    correct(outcome.data, tmp_path / "new.parquet", {}, {outcome.table["id"][0]})
    assert white_of(tmp_path / "new.parquet") == white_of(outcome.data) == 4095


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_people_see_what_the_model_sees(take: Take, kind: str) -> None:
    suffix = kind.lower()
    outcome = take(zip_of({f"a/1.{suffix}": grey(4000, kind), f"b/1.{suffix}": grey(1000, kind)}), "deep.zip")
    dataset = open_canonical(outcome.data)
    rows = torch.arange(2)
    (pixels,) = Encoder.fit(dataset, rows, {}).encode(dataset, rows)
    for name, seen in zip(outcome.table["id"], pixels, strict=True):
        found = sample_image(outcome.data, name)
        assert found is not None
        with Image.open(io.BytesIO(shown(found.content, found.white, 64))) as image:
            assert (image.format, image.mode) == ("PNG", "L")
            assert np.array_equal(np.asarray(image), seen[0].numpy())


@pytest.mark.parametrize(
    ("mode", "kind", "becomes"),
    [("L", "PNG", "L"), ("RGBA", "PNG", "RGBA"), ("P", "GIF", "RGB"), ("CMYK", "JPEG", "RGB"), ("1", "PNG", "RGB")],
)
def test_an_image_is_shown_in_full_colour_and_never_enlarged(mode: str, kind: str, becomes: str) -> None:
    for size, expected in (((300, 200), (64, 43)), ((6, 5), (6, 5))):
        with Image.open(io.BytesIO(shown(png(size, mode, 9, kind), None, 64))) as image:
            assert (image.format, image.mode, image.size) == ("PNG", becomes, expected)


def test_a_photograph_is_shown_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(file, "JPEG", exif=exif)
    with Image.open(io.BytesIO(shown(file.getvalue(), None, 64))) as image:
        assert image.size == (20, 40)
