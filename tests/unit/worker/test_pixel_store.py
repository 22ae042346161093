"""Many images: decoded once, and read where they lie."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.domain.specs import JobSpec
from tests.builders import dataset_info, job_spec
from tests.unit.worker.canonical import canonical, encoded
from worker.backbones import BackboneContext, FeatureCache
from worker.data.canonical import Canonical
from worker.data.pixels import Frame, pixels
from worker.job.preparation import prepare

ROWS = 41


def images(path: Path, seed: int = 0) -> Canonical:
    generator = np.random.default_rng(seed)
    pictures = [encoded(generator.integers(0, 256, (12, 9 + row % 2, 3)).astype(np.uint8)) for row in range(ROWS)]
    return canonical(path, "image", {"picture": ("image", pictures)})


def spec(dataset: Canonical, seed: int, size: int | None = None, **options: Any) -> JobSpec:
    return job_spec(
        dataset_info(modality="image", rows=ROWS, classes=dataset.header.classes),
        model={"name": "small_cnn", "params": {"image_size": size}},
        training={"seed": seed},
        **options,
    )


@pytest.fixture
def backbones(tmp_path: Path) -> BackboneContext:
    return BackboneContext(
        tmp_path / "models",
        tmp_path / "networks",
        FeatureCache(tmp_path / "features", 10**9),
        tmp_path / "scratch",
        on_progress=lambda _: None,
    )


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every image that is decoded."""
    seen: list[bytes] = []

    def counted(image: bytes, frame: Frame, white: float | None) -> Any:
        seen.append(image)
        return pixels(image, frame, white)

    monkeypatch.setattr("worker.data.encoding.pixels", counted)
    return seen


def test_kept_pixels_are_those_that_are_decoded_and_later_jobs_decode_a_sample_for_its_mean_alone(
    tmp_path: Path, backbones: BackboneContext, decoded: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = images(tmp_path / "data.parquet")
    few = prepare(spec(dataset, 0), dataset, None, backbones=backbones)
    assert not list((tmp_path).glob("features/*"))
    monkeypatch.setattr("worker.job.preparation._MANY_PIXELS", 1)
    monkeypatch.setattr("worker.job.preparation._TOGETHER", 7)
    found = []
    for seed, expected in ((0, 2 * ROWS), (1, ROWS)):
        decoded.clear()
        found.append(prepare(spec(dataset, seed), dataset, None, backbones=backbones))
        assert len(decoded) == expected
    for one in found:
        assert torch.equal(one.inputs[0], few.inputs[0])
    assert len(list((tmp_path).glob("features/*"))) == 1


def test_other_images_and_other_sizes_are_decoded_for_themselves(
    tmp_path: Path, backbones: BackboneContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.job.preparation._MANY_PIXELS", 1)
    first, second = images(tmp_path / "first.parquet"), images(tmp_path / "second.parquet", seed=1)
    for dataset, size in ((first, None), (second, None), (first, 16)):
        with_shelf = prepare(spec(dataset, 0, size), dataset, None, backbones=backbones)
        assert torch.equal(with_shelf.inputs[0], prepare(spec(dataset, 0, size), dataset, None).inputs[0])
    assert len(list((tmp_path).glob("features/*"))) == 3


def test_a_holdout_is_read_from_the_same_pixels(
    tmp_path: Path, backbones: BackboneContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.job.preparation._MANY_PIXELS", 1)
    dataset = images(tmp_path / "data.parquet")
    wanted = spec(dataset, 0, reference={"holdout": 0.25})
    kept, plain = prepare(wanted, dataset, None, backbones=backbones), prepare(wanted, dataset, None)
    assert 0 < len(kept.reference_inputs[0]) < ROWS
    assert torch.equal(kept.reference_inputs[0], plain.reference_inputs[0])
    assert torch.equal(kept.inputs[0], plain.inputs[0])
