"""Influence is of the plain loss, whatever the loss that was trained on."""

from pathlib import Path

import torch

from tests.builders import dataset_info, job_spec, write_canonical
from worker.data.canonical import open_canonical
from worker.job.preparation import fit, prepare
from worker.job.scoring import score
from worker.signals.formulas import compute
from worker.training.loop import TrainingState


def test_signals_of_given_checkpoints_do_not_know_the_class_weights(tmp_path: Path) -> None:
    info = dataset_info(rows=60)
    write_canonical(tmp_path / "data.parquet", info)
    dataset, found = open_canonical(tmp_path / "data.parquet"), []
    states: list[TrainingState] = []
    for weights in ("none", "balanced"):
        spec = job_spec(info, training={"epochs": 3, "class_weights": weights}, model={"name": "mlp"})
        prepared = prepare(spec, dataset, None)
        if not states:
            fit(prepared, spec, None, lambda state, _metrics: states.append(state))
        scored = score(
            prepared, spec, (0.1, 0.1, 0.1), lambda t: states[t].model, tmp_path / weights, lambda _share: None
        )
        found.append(compute(scored.measurements, ["si", "mislabeled", "aum"]))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
