"""What a job warns of: shown on trainings that went wrong, and absent from one that went well."""

from pathlib import Path

import numpy as np

from tests.builders import dataset_info, job_spec
from tests.unit.worker.canonical import canonical
from tests.unit.worker.test_backbones_jobs import whole_job
from worker.backbones import BackboneContext, FeatureCache

ROWS = 60


def codes(tmp_path: Path, **training: object) -> set[str]:
    """Codes of the warnings of a job on three classes that are easy to tell apart."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(ROWS, 6)) + 3 * np.eye(3, 6)[np.arange(ROWS) % 3]
    dataset = canonical(tmp_path / "data.parquet", "embedding", {"x": ("embedding", rows.astype(np.float32).tolist())})
    spec = job_spec(
        dataset_info(rows=ROWS, modality="embedding", splits={"train": ROWS}),
        model={"name": "mlp_probe", "params": {"width": 16}},
        training={"epochs": 6, "batch_size": 10, **training},
    )
    features = FeatureCache(tmp_path / "features", 10**9)
    backbones = BackboneContext(tmp_path / "models", tmp_path / "networks", features, tmp_path / "scratch")
    _, outcome = whole_job(spec, dataset, backbones, tmp_path / "job")
    return {one["code"] for one in outcome.result["warnings"]}


def test_a_training_that_went_well_is_not_doubted(tmp_path: Path) -> None:
    assert not codes(tmp_path, learning_rate=0.05) & {"learnt_nothing", "slow_start"}


def test_a_model_that_learnt_nothing_is_told(tmp_path: Path) -> None:
    assert "learnt_nothing" in codes(tmp_path, learning_rate=1e-7)


def test_a_model_that_learnt_late_is_told(tmp_path: Path) -> None:
    assert "slow_start" in codes(tmp_path, learning_rate=0.0012, epochs=40)
