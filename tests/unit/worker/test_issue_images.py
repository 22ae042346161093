"""Images that are nearly the same, or have a fault: what is planted is found and named, and nothing in ordinary images."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageFilter

from tests.unit.worker.canonical import canonical, encoded
from worker.data.glitches import plant
from worker.issues.find import find_issues
from worker.issues.near_images import CORRELATION, near_image_sets

Pixels = npt.NDArray[np.uint8]


def scenes(seed: int, count: int = 60, height: int = 48, width: int = 64) -> list[Pixels]:
    """Smooth fields with edges and a little noise, as photographs have."""
    draws = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        coarse = Image.fromarray(draws.integers(0, 256, (6, 8, 3), np.uint8)).resize((width, height))
        pixels = np.asarray(coarse).astype(int) + draws.normal(0, 6, (height, width, 3))
        top, left = draws.integers(4, height // 2), draws.integers(4, width // 2)
        pixels[top : top + 12, left : left + 16] = draws.integers(0, 256, 3)
        found.append(pixels.clip(0, 255).astype(np.uint8))
    return found


def found(path: Path, files: Sequence[bytes], threads: int = 1) -> dict[str, dict[str, Any]]:
    dataset = canonical(path / "d", "image", {"image": ("image", list(files))})
    rows = torch.arange(len(files))
    answer = find_issues(
        dataset, rows, plant((), dataset.labels, 3, []), reference_rows=rows[:0], seed=0, threads=threads
    )
    return {one["type"]: one for one in answer["items"]}


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_in_ordinary_images(tmp_path: Path, seed: int) -> None:
    answer = found(tmp_path, [encoded(one) for one in scenes(seed)])
    for name in ("near_duplicates", "images"):
        assert (answer[name]["found"], answer[name]["score"], answer[name]["samples"]) == (False, 0, [])


def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    files = [encoded(one) for one in scenes(0, count=200)]
    files[150], files[170] = files[30], encoded(scenes(0, count=1)[0] // 8)
    assert found(tmp_path, files, threads=3) == found(tmp_path, files)


def test_each_fault_is_found_and_named(tmp_path: Path) -> None:
    ordinary = scenes(0)
    large = Image.fromarray(ordinary[0])
    blurred = np.asarray(Image.fromarray(ordinary[1]).filter(ImageFilter.GaussianBlur(3)))
    faults = {
        "dark": encoded(ordinary[2] // 8),
        "bright": encoded(255 - ordinary[3] // 8),
        "blank": encoded(np.full((48, 64, 3), 90, np.uint8)),
        "blurred": encoded(blurred),
        "odd size": encoded(np.asarray(large.resize((640, 480)))),
        "odd shape": encoded(np.asarray(large.resize((110, 28)))),
    }
    answer = found(tmp_path, [*(encoded(one) for one in ordinary), *faults.values()])["images"]
    assert [(one["index"], one["detail"]) for one in answer["samples"]] == list(enumerate(faults, len(ordinary)))
    assert (answer["flagged"], answer["score"]) == (6, 6 / 66)


def test_what_many_images_are_is_no_exception(tmp_path: Path) -> None:
    ordinary = scenes(0)
    night = [encoded(one // 8 if place % 3 == 0 else one) for place, one in enumerate(ordinary)]
    assert not found(tmp_path, night)["images"]["found"]


def test_an_image_that_lies_on_its_side_has_the_shape_that_people_see(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    files = [encoded(one, form="JPEG") for one in scenes(0, 60, 32, 96)]
    lying = [encoded(one.transpose(1, 0, 2).copy(), form="JPEG", exif=turned) for one in scenes(1, 3, 32, 96)]
    assert not found(tmp_path, [*files, *lying])["images"]["found"]


def test_images_that_were_compressed_enlarged_or_brightened_are_nearly_the_same(tmp_path: Path) -> None:
    ordinary = scenes(0)
    jpeg = io.BytesIO()
    Image.fromarray(ordinary[0]).save(jpeg, "JPEG", quality=75)
    copies = [
        jpeg.getvalue(),
        encoded(np.asarray(Image.fromarray(ordinary[1]).resize((128, 96)))),
        encoded((ordinary[2] * 0.8 + 20).astype(np.uint8)),
    ]
    answer = found(tmp_path, [*(encoded(one) for one in ordinary), *copies, encoded(ordinary[3])])
    near = answer["near_duplicates"]
    sets = [(one["group"], one["index"]) for one in near["samples"]]
    assert sets == [(0, 0), (0, 60), (1, 1), (1, 61), (2, 2), (2, 62)]
    assert (near["flagged"], near["score"]) == (6, 3 / 64)


def test_images_of_one_grey_level_are_blank_and_not_alike(tmp_path: Path) -> None:
    blank = [encoded(np.full((48, 64, 3), level, np.uint8)) for level in (90, 91)]
    answer = found(tmp_path, [*(encoded(one) for one in scenes(0)), *blank])
    assert [one["detail"] for one in answer["images"]["samples"]] == ["blank", "blank"]
    assert not answer["near_duplicates"]["found"]


@pytest.mark.parametrize("count", [300, 7_000])
def test_sets_are_those_of_a_comparison_of_every_pair(count: int) -> None:
    draws = np.random.default_rng(count)
    pixels = draws.integers(0, 256, (count, 16, 16)).astype(np.uint8)
    for place in range(0, 100, 2):
        noise = draws.normal(0, draws.uniform(0, 10), (16, 16))
        pixels[place + 100] = (pixels[place] + noise).clip(0, 255)
    flat = pixels.reshape(count, -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    pairs = [(place, place + 100) for place in range(0, 100, 2) if flat[place] @ flat[place + 100] >= CORRELATION]
    assert 5 < len(pairs) < 45
    assert [tuple(one.tolist()) for one in near_image_sets(pixels, 0)] == pairs


def test_sets_join_images_that_have_a_third_one_in_common() -> None:
    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 200, (50, 16, 16)).astype(np.uint8)
    pixels[[7, 30, 44]] = pixels[3]
    assert [one.tolist() for one in near_image_sets(pixels, 0)] == [[3, 7, 30, 44]]


@pytest.mark.parametrize("count", [0, 1])
def test_one_image_is_like_none(count: int) -> None:
    assert near_image_sets(np.arange(count * 256, dtype=np.uint8).reshape(count, 16, 16), 0) == []
