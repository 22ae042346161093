"""What a job warns of: shown on trainings that went wrong, and absent from one that went well."""

from pathlib import Path

import numpy as np

from tests.builders import dataset_info, job_spec
from tests.unit.worker.canonical import canonical
from tests.unit.worker.test_backbones_jobs import whole_job
from worker.backbones import BackboneContext, FeatureCache
from worker.job.ranking import RankingResult

ROWS = 60


def codes(tmp_path: Path, **training: object) -> set[str]:
    """Codes of the warnings of a job on three classes that are easy to tell apart."""
    return {one["code"] for one in finished(tmp_path, ROWS, **training).result["warnings"]}


def finished(tmp_path: Path, count: int, **training: object) -> RankingResult:
    """A job on that many samples of three classes that are easy to tell apart, none of them wrong."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(count, 6)) + 6 * np.eye(3, 6)[np.arange(count) % 3]
    dataset = canonical(tmp_path / "data.parquet", "embedding", {"x": ("embedding", rows.astype(np.float32).tolist())})
    spec = job_spec(
        dataset_info(rows=count, modality="embedding", splits={"train": count}),
        model={"name": "mlp_probe", "params": {"width": 16}},
        training={"epochs": 6, "batch_size": 10, **training},
    )
    features = FeatureCache(tmp_path / "features", 10**9)
    backbones = BackboneContext(tmp_path / "models", tmp_path / "networks", features, tmp_path / "scratch")
    _, outcome = whole_job(spec, dataset, backbones, tmp_path / "job")
    return outcome


def test_a_training_that_went_well_is_not_doubted(tmp_path: Path) -> None:
    assert not codes(tmp_path, learning_rate=0.05) & {"learnt_nothing", "slow_start"}


def test_a_model_that_learnt_nothing_is_told(tmp_path: Path) -> None:
    assert "learnt_nothing" in codes(tmp_path, learning_rate=1e-7)


def test_a_model_that_learnt_late_is_told(tmp_path: Path) -> None:
    assert "slow_start" in codes(tmp_path, learning_rate=0.0012, epochs=40)


def test_nothing_is_called_clean_where_nothing_could_be_counted(tmp_path: Path) -> None:
    few = finished(tmp_path, 60, learning_rate=0.05)
    assert {name: one["status"] for name, one in few.result["estimates"].items()} == dict.fromkeys(
        ("mislabeled", "anomalous"), "unknown"
    )
    assert set(few.table["verdict"].to_pylist()) == {"not_judged"}
    told = {one["code"]: one for one in few.result["warnings"]}["rough_estimate"]
    assert told["action"]["kind"] == "review"


def test_what_was_counted_and_not_flagged_is_clean(tmp_path: Path) -> None:
    many = finished(tmp_path, 600, learning_rate=0.05)
    assert many.result["estimates"]["mislabeled"]["status"] == "rough"
    assert set(many.table["verdict"].to_pylist()) == {"clean"}
    assert "rough_estimate" not in {one["code"] for one in many.result["warnings"]}


def test_a_model_that_learnt_nothing_offers_another_and_judges_nothing(tmp_path: Path) -> None:
    told = {one["code"]: one for one in finished(tmp_path, 600, learning_rate=1e-7).result["warnings"]}
    action = told["learnt_nothing"]["action"]
    assert action["kind"] == "rerun"
    assert action["changes"]["training"]["epochs"] == 12
    assert told["learnt_nothing"]["title"]
