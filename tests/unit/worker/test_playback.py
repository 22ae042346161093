"""A recorded training gives what the training itself gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from service.domain.dataset import DatasetInfo, DatasetSpec
from service.domain.errors import Invalid
from service.domain.resolve import resolve
from service.domain.specs import JobOptions, JobSpec
from service.ingest import Limits, ingest
from tests.builders import dataset_info
from worker.data.canonical import Canonical, open_canonical
from worker.influence.activations import Trace
from worker.influence.pairs import PairwiseInfluence
from worker.job.measuring import measure
from worker.job.ranking import RankingResult, rank
from worker.job.recorded import open_recording

N, M, D, E, C, T = 60, 40, 6, 9, 3, 5
RATES = (0.1, 0.1, 0.05, 0.05, 0.01)


class Elsewhere:
    """Random activations and logits, and files of them."""

    def __init__(self, *, shared: bool = False) -> None:
        draw = torch.Generator().manual_seed(0)
        self.labels, self.reference_labels = torch.arange(N) % C, torch.arange(M) % C
        self.train, self.reference = (self._trace(rows, draw, shared) for rows in (N, M))
        self.inner = [torch.randn(rows, E, generator=draw) for rows in (N, M)]

    @staticmethod
    def _trace(rows: int, draw: torch.Generator, shared: bool) -> Trace:
        entered = torch.randn(1 if shared else T, rows, D, generator=draw).expand(T, -1, -1)
        return Trace(entered, 2 * torch.randn(T, rows, C, generator=draw), RATES)

    def arrays(self) -> dict[str, Tensor]:
        found = {"learning_rates": torch.tensor(RATES, dtype=torch.float64)}
        for prefix, trace, labels, inner in (
            ("", self.train, self.labels, self.inner[0]),
            ("reference_", self.reference, self.reference_labels, self.inner[1]),
        ):
            found[f"{prefix}labels"] = labels
            for t in range(T):
                found[f"{prefix}logits_{t + 1}"] = trace.logits[t].clone()
                if not trace.shared:
                    found[f"{prefix}activations_{t + 1}"] = trace.activations[t].clone()
            if trace.shared:
                found[f"{prefix}activations"] = trace.activations[0].clone()
            found[f"{prefix}inner_1"] = inner
        return found

    def stored(self, folder: Path, **metadata: Any) -> tuple[DatasetInfo, Canonical]:
        """The dataset that an upload of the arrays becomes."""
        path = folder / "run.safetensors"
        save_file(self.arrays(), path, metadata={name: json.dumps(value) for name, value in metadata.items()})
        found = ingest(path, path.name, DatasetSpec(), folder / "data", folder / "skipped", Limits())
        info = dataset_info(**{name: getattr(found, name) for name in found.__dataclass_fields__})
        return info, open_canonical(folder / "data")


class Held:
    """An activation source that is in memory already."""

    def __init__(self, trace: Trace, inner: Tensor) -> None:
        self.trace, self._inner = trace, inner

    def read_checkpoint(self, t: int, *, inner: bool = False) -> Tensor | None:
        return None if not inner else self._inner if t == 0 else self.trace.activations[t]


def ranked(info: DatasetInfo, dataset: Canonical, folder: Path, **options: Any) -> tuple[JobSpec, RankingResult]:
    spec = resolve(JobOptions.model_validate({"training": {"checkpoints": "all"}, **options}), info)
    played = open_recording(spec, dataset, folder / "scratch")
    scored = measure(played.samples, spec, played.train, played.reference, lambda _share: None)
    return spec, rank(played.samples, spec, scored, dataset)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("reference", [{"split": "reference"}, None])
def test_what_is_played_back_is_what_was_recorded_bit_for_bit(
    tmp_path: Path, reference: dict[str, str] | None, shared: bool
) -> None:
    elsewhere = Elsewhere(shared=shared)
    info, dataset = elsewhere.stored(tmp_path)
    spec, outcome = ranked(info, dataset, tmp_path, reference=reference)
    played = open_recording(spec, dataset, tmp_path / "scratch")
    known = None if reference is None else Held(elsewhere.reference, elsewhere.inner[1])
    scored = measure(played.samples, spec, Held(elsewhere.train, elsewhere.inner[0]), known, lambda _share: None)
    expected = rank(played.samples, spec, scored, dataset)
    assert outcome.table.equals(expected.table)
    assert len(outcome.table) == N
    assert set(outcome.result["signals"]) >= {"si", "aum", "mislabeled", "cnci"}
    assert ("remoteness" in outcome.result["signals"]) == (reference is not None)
    for name, array in expected.evidence.items():
        assert np.array_equal(outcome.evidence[name], array), name


@pytest.mark.parametrize("reference", [{"split": "reference"}, None])
def test_influence_after_relabelling_is_computed_only_for_signals_of_it(
    tmp_path: Path, reference: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    info, dataset = Elsewhere().stored(tmp_path)
    wanted = ["slip", "nil_opt", "mi"]
    _, whole = ranked(info, dataset, tmp_path, reference=reference)
    with monkeypatch.context() as patched:
        patched.setattr(PairwiseInfluence, "relabelled", None)  # so that a call of it fails
        _, outcome = ranked(info, dataset, tmp_path, reference=reference, signals=wanted)
        with pytest.raises(TypeError):
            ranked(info, dataset, tmp_path, reference=reference, signals=[*wanted, "cfrank"])
    # All the rest has the same bits.
    assert {"mislabeled", "anomalous", *wanted} <= set(outcome.result["signals"])
    for name in ("mislabeled", "anomalous", *wanted):
        assert outcome.table[name].equals(whole.table[name]), name


def test_without_a_bias_rows_whose_gradient_is_zero_get_numbers_all_the_same(tmp_path: Path) -> None:
    elsewhere = Elsewhere()
    for trace in (elsewhere.train, elsewhere.reference):
        trace.activations[:, 3:7] = 0
    info, dataset = elsewhere.stored(tmp_path, bias=False)
    assert info.recording is not None
    assert not info.recording.bias
    for reference in ({"split": "reference"}, None):
        _, outcome = ranked(info, dataset, tmp_path, reference=reference)
        for name, column in zip(outcome.table.column_names, outcome.table.columns, strict=True):
            if pa.types.is_floating(column.type):
                assert np.isfinite(column.to_numpy()).all(), name


def test_progress_counts_the_checkpoints_that_are_measured(tmp_path: Path) -> None:
    info, dataset = Elsewhere().stored(tmp_path)
    spec = resolve(JobOptions.model_validate({"training": {"checkpoints": "all"}}), info)
    recording = open_recording(spec, dataset, tmp_path / "scratch")
    begun: list[int] = []
    reported: list[tuple[int, float]] = []
    measure(
        recording.samples,
        spec,
        recording.train,
        recording.reference,
        lambda share: reported.append((len(begun), share)),
        set_to=begun.append,
    )
    # A report comes after each checkpoint is measured and before the next one begins.
    shares = [share for _, share in reported]
    assert {count for count, _ in reported} == {t + 1 for t in range(T)}
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def test_checkpoints_are_chosen_among_those_that_were_recorded(tmp_path: Path) -> None:
    info, dataset = Elsewhere().stored(tmp_path)
    spec, _ = ranked(info, dataset, tmp_path, training={"checkpoints": 3})
    assert (spec.training.epochs, spec.training.learning_rate) == (T, RATES[0])
    played = open_recording(spec, dataset, tmp_path / "scratch")
    assert (played.epochs, played.train.trace.rates) == ([1, 3, 5], (0.1, 0.05, 0.01))


def test_samples_that_people_verified_serve_as_reference_and_are_not_ranked(tmp_path: Path) -> None:
    info, dataset = Elsewhere().stored(tmp_path)
    verified = [f"row-{row}" for row in range(0, N, 2)]
    _, outcome = ranked(info, dataset, tmp_path, reference={"samples": verified})
    assert outcome.table["sample_id"].to_pylist() == [f"row-{row}" for row in range(1, N, 2)]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"training": {"epochs": 3}}, "training.epochs"),
        ({"training": {"class_weights": "balanced"}}, "training.class_weights"),
        ({"glitches": [{"kind": "duplicate"}]}, "glitches"),
        ({"loop": {"after": 3}}, "loop"),
        ({"influence": {"layers": "all"}}, "influence.layers"),
        ({"influence": {"estimator": "projected"}}, "influence.estimator"),
        ({"reference": {"holdout": 0.2}}, "reference.holdout"),
        ({"reference": {"dataset": "ds_2"}}, "reference.dataset"),
        ({"model": {"name": "mlp"}}, "model.name"),
        ({"training": {"checkpoints": 6}}, "training.checkpoints"),
    ],
)
def test_what_would_need_a_training_is_refused_by_name(tmp_path: Path, options: dict[str, Any], field: str) -> None:
    info, _ = Elsewhere().stored(tmp_path)
    with pytest.raises(Invalid) as refused:
        resolve(JobOptions.model_validate(options), info)
    assert [".".join(map(str, one.loc)) for one in refused.value.errors] == [field]


def test_a_class_that_the_recorded_model_never_knew_is_refused(tmp_path: Path) -> None:
    info, dataset = Elsewhere().stored(tmp_path, classes=["cat", "dog", "eel"])
    spec = resolve(JobOptions(), info)
    header = dataset.header.model_copy(update={"classes": [*dataset.header.classes, "fox"]})
    widened = Canonical(dataset.path, header, dataset.ids, dataset.splits, dataset.index, dataset.labels)
    with pytest.raises(Invalid, match="the recorded model knows 3 classes and not fox"):
        open_recording(spec, widened, tmp_path / "scratch")
