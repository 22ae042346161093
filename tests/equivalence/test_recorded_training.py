"""A plain PyTorch loop that is recorded gives the ranking that the service gives when it trains the same model itself."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from service.domain.dataset import DatasetInfo, DatasetSpec
from service.domain.resolve import resolve
from service.domain.specs import JobOptions
from service.ingest import Limits, ingest
from tests.builders import dataset_info
from usual_suspects.recorder import TraceRecorder
from worker.data.canonical import Canonical, open_canonical
from worker.job.measuring import measure
from worker.job.preparation import PreparedJob, fit, prepare
from worker.job.ranking import RankingResult, rank
from worker.job.recorded import open_recording
from worker.job.scoring import score
from worker.training.direct_network import DirectNetwork

ROWS, HELD, CLASSES = 240, 60, 3
TRAINING = {"epochs": 5, "batch_size": 32, "learning_rate": 0.05, "checkpoints": "all"}


def stored(folder: Path, file: Path) -> tuple[DatasetInfo, Canonical]:
    """The dataset that a file becomes."""
    folder.mkdir()
    found = ingest(file, file.name, DatasetSpec(), folder / "data", folder / "skipped", Limits())
    info = dataset_info(**{name: getattr(found, name) for name in found.__dataclass_fields__})
    return info, open_canonical(folder / "data")


def table(path: Path) -> Path:
    """Three overlapping heaps, some labels wrong, and a split that nobody trains on."""
    draw = np.random.default_rng(0)
    labels = draw.integers(0, CLASSES, ROWS + HELD)
    x = draw.normal(size=(len(labels), 4)) + 2 * np.eye(CLASSES, 4)[labels]
    labels[:20] = (labels[:20] + 1) % CLASSES
    lines = [
        ",".join([*(f"{value:.5f}" for value in row), "abc"[label], "train" if place < ROWS else "test"])
        for place, (row, label) in enumerate(zip(x, labels, strict=True))
    ]
    path.write_text("\n".join(["p,q,r,s,label,split", *lines]))
    return path


def plain_loop(prepared: PreparedJob, recorder: TraceRecorder) -> None:
    """What anybody would write; shuffled as worker.training.loop shuffles."""
    model, labels = prepared.model, prepared.planted.labels
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(1, 6):
        torch.manual_seed(epoch)
        model.train()
        for rows in torch.split(torch.randperm(len(labels)), 32):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(*(part[rows] for part in prepared.inputs)), labels[rows])
            torch.autograd.backward(loss)
            optimizer.step()
        recorder.record(optimizer)


@pytest.mark.parametrize("reference", [None, "test"])
@pytest.mark.parametrize("model", ["mlp", "logistic_regression", "tabular_resnet"])
def test_a_recorded_loop_is_ranked_as_the_services_own_training(
    tmp_path: Path, model: str, reference: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Gradients written by hand differ from autograd's by rounding, which training enlarges.
    monkeypatch.setattr(DirectNetwork, "of", lambda _model: None)
    info, dataset = stored(tmp_path / "table", table(tmp_path / "table.csv"))
    asked: dict[str, Any] = {"model": {"name": model}, "training": {**TRAINING, "optimizer": "sgd", "weight_decay": 0}}
    named = {} if reference is None else {"reference": {"split": reference}}
    spec = resolve(JobOptions.model_validate({**asked, **named}), info)
    own, states = prepare(spec, dataset, None), []
    fit(own, spec, None, lambda state, _metrics: states.append(state.model))
    scored = score(own, spec, [0.05] * 5, lambda t: states[t], tmp_path / "scratch", lambda _share: None)
    expected = rank(own, spec, scored, dataset)

    again = prepare(spec, dataset, None)
    known = None if reference is None else (*again.reference_inputs, again.reference_labels)
    samples = (*again.inputs, again.planted.labels)
    with TraceRecorder(again.model, samples, tmp_path / "run", reference=known, classes=list("abc")) as recorder:
        plain_loop(again, recorder)

    info, dataset = stored(tmp_path / "trace", tmp_path / "run")
    named = {} if reference is None else {"reference": {"split": "reference"}}
    spec = resolve(JobOptions.model_validate({"training": {"checkpoints": "all"}, **named}), info)
    played = open_recording(spec, dataset, tmp_path / "scratch")
    found = rank(
        played.samples,
        spec,
        measure(played.samples, spec, played.train, played.reference, lambda _share: None),
        dataset,
    )
    assert found.result["signals"] == expected.result["signals"]
    assert ("remoteness" in found.result["signals"]) == (reference is not None)
    for name in found.result["signals"]:
        assert far(found, expected, name) < 1e-5, name
    for name in ("suggested_label", "verdict", "given_label"):
        assert found.table[name].to_pylist() == expected.table[name].to_pylist()


def far(found: RankingResult, expected: RankingResult, name: str) -> float:
    """The largest difference of a signal, in units of its largest value."""
    one, other = (np.asarray(outcome.table[name], np.float64) for outcome in (found, expected))
    size: npt.NDArray[np.float64] = np.abs(other).max(initial=1e-30)
    return float(np.abs(one - other).max() / size)
