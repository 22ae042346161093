"""Verified samples beside a text network that is trained from scratch."""

from pathlib import Path

import numpy as np
import pytest

from tests.builders import dataset_info, job_spec
from tests.unit.worker.canonical import canonical
from tests.unit.worker.test_backbones_jobs import whole_job
from worker.backbones import BackboneContext, FeatureCache

ROWS, VERIFIED = 300, 150


def questions(draw: np.random.Generator, classes: int, different: int) -> list[str]:
    """Texts whose class shows in two of ten words; the others are of so many different ones."""
    rare = [
        f"{''.join(draw.choice(list('bcdfglmnprst'), 3))}{''.join(draw.choice(list('aeiou'), 2))}"
        for _ in range(different)
    ]
    usual = [["who", "wrote"], ["where", "lies"], ["when", "did"]]
    return [
        " ".join([*usual[row % classes], *(rare[int(word)] for word in draw.integers(0, len(rare), 8))])
        for row in range(ROWS)
    ]


@pytest.mark.parametrize("different", [60, 900])
def test_texts_like_the_verified_ones_are_no_anomalies_because_the_network_has_learnt_them(
    different: int, tmp_path: Path
) -> None:
    rows = questions(np.random.default_rng(3), 3, different)
    dataset = canonical(tmp_path / "questions.parquet", "text", {"text": ("text", rows)})
    spec = job_spec(
        dataset_info(rows=ROWS, modality="text", splits={"train": ROWS}),
        model={"name": "text_cnn"},
        reference={"samples": [f"row-{row}" for row in range(VERIFIED)]},
    )
    features = FeatureCache(tmp_path / "features", 10**9)
    backbones = BackboneContext(tmp_path / "models", tmp_path / "networks", features, tmp_path / "scratch")
    _, outcome = whole_job(spec, dataset, backbones, tmp_path / "job")
    found = outcome.result["estimates"]["anomalous"]
    assert found["count"] <= 0.05 * (ROWS - VERIFIED)
    # Tokens learnt from the training texts are pieces in others, where most words are in one text alone.
    assert found["status"] == ("unknown" if different > ROWS else "rough")
