"""The recorder refuses before the training what the service would refuse after it."""

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from usual_suspects.recorder import TraceRecorder, early_checks

N, WIDTH, CLASSES = 50, 4, 3


def data(labels: Any = None) -> TensorDataset:
    x = torch.randn(N, WIDTH, generator=torch.Generator().manual_seed(2))
    return TensorDataset(x, torch.arange(N) % CLASSES if labels is None else labels)


def network(outputs: int = CLASSES) -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, 6), nn.ReLU(), nn.Linear(6, outputs))


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return ((torch.ones(WIDTH), place % CLASSES) for place in range(N))


class Endless:
    def __iter__(self) -> Iterator[int]:
        while True:
            yield from range(N)


def loaders() -> dict[str, tuple[Any, str]]:
    """Loaders that lose samples or give them in another order, and what is said of each."""
    set_ = data()
    backwards = list(range(N))[::-1]
    return {
        "drop_last": (DataLoader(set_, 16, drop_last=True), "train has drop_last=True and loses 2 of its 50 samples"),
        "shuffle": (DataLoader(set_, 16, shuffle=True), "train is shuffled by its RandomSampler"),
        "weighted": (DataLoader(set_, sampler=WeightedRandomSampler([1.0] * N, N)), "shuffled by its WeightedRandom"),
        "subset": (DataLoader(set_, sampler=SubsetRandomSampler(range(N))), "shuffled by its SubsetRandomSampler"),
        "backwards": (DataLoader(set_, sampler=backwards), "a list that gives 50 of its 50 samples, or another order"),
        "endless": (DataLoader(set_, sampler=Endless()), "an? Endless that gives 51 of its 50 samples"),
        "some": (DataLoader(set_, sampler=range(9)), "a range that gives 9 of its 50 samples"),
        "rank": (DataLoader(set_, sampler=DistributedSampler(set_, 2, 0, shuffle=False)), "gives 25 of its 50 samples"),
        "mixed rank": (DataLoader(set_, sampler=DistributedSampler(set_, 1, 0)), "or another order"),
        "batches": (DataLoader(set_, batch_sampler=BatchSampler(backwards, 8, drop_last=False)), "or another order"),
        "own batches": (DataLoader(set_, batch_sampler=[[0, 1], [2, 3]]), "gives 4 of its 50 samples"),
        "cut batches": (
            DataLoader(set_, batch_sampler=BatchSampler(SequentialSampler(set_), 20, drop_last=True)),
            "loses 10 of its 50 samples",
        ),
        "stream": (DataLoader(Stream(), 16, drop_last=True), "drop_last=True, which may lose samples"),
        "generator": ((part for part in [(torch.ones(2, WIDTH), torch.ones(2))]), "can be run through only once"),
    }


@pytest.mark.parametrize("form", list(loaders()))
def test_samples_that_are_lost_or_in_another_order_are_refused_at_once(tmp_path: Path, form: str) -> None:
    loader, message = loaders()[form]
    model, before = network(), torch.get_rng_state()
    with pytest.raises(ValueError, match=message) as refused:
        TraceRecorder(model, loader, tmp_path / "run")
    assert torch.equal(torch.get_rng_state(), before)
    assert form == "generator" or "torch.utils.data.Subset(dataset, indices)" in str(refused.value)
    if form != "generator":
        with pytest.raises(ValueError, match=message.replace("train", "reference")):
            TraceRecorder(network(), data(), tmp_path / "run", reference=loaders()[form][0])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(data(), 25, drop_last=True),
        DataLoader(data(), 16, sampler=range(N)),
        DataLoader(data(), batch_sampler=[[*range(30)], [*range(30, N)]]),
        DataLoader(data(), sampler=DistributedSampler(data(), 1, 0, shuffle=False)),
        DataLoader(Stream(), 16),
        Stream(),
        Subset(data(), range(10, 40)),
    ],
)
def test_loaders_that_give_each_sample_once_in_order_are_recorded(tmp_path: Path, loader: Any) -> None:
    with TraceRecorder(network(), loader, tmp_path / "run") as recorder:
        recorder.record(0.1)
    with safe_open(tmp_path / "run", framework="pt") as file:
        held = file.get_tensor("labels")
    samples = len(loader) if isinstance(loader, Subset) else N
    start = 10 if isinstance(loader, Subset) else 0
    assert held.tolist() == [place % CLASSES for place in range(start, start + samples)]


def late(value: float) -> Tensor:
    """Labels of which one of the last batch is odd."""
    labels = (torch.arange(N) % CLASSES).double()
    labels[47] = value
    return labels


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (late(0.7), "labels, sample 47: 0.7 is no class number; soft labels are not supported"),
        (late(float("nan")), "labels, sample 47: nan is no class number"),
        (late(3), "labels, sample 47: 3 is no class of the model, whose outputs tell 3 apart: 0 to 2"),
        (late(-100), "labels, sample 47: -100 is no class of the model"),
        (torch.eye(CLASSES)[torch.arange(N) % CLASSES], r"the shape \(\d+, 3\); .* give labels.argmax\(1\)"),
        (torch.zeros(N), "all labels are of one class"),
    ],
)
@pytest.mark.parametrize("form", ["set", "tensors", "batches", "mappings", "loader"])
def test_labels_that_are_no_class_numbers_are_refused_before_the_training(
    tmp_path: Path, labels: Tensor, message: str, form: str
) -> None:
    x = data().tensors[0]
    forms: dict[str, Callable[[], Any]] = {
        "set": lambda: TensorDataset(x, labels),
        "tensors": lambda: (x, labels),
        "batches": lambda: [(x[:40], labels[:40]), (x[40:], labels[40:])],
        "mappings": lambda: [{"input": x[:40], "labels": labels[:40]}, {"input": x[40:], "labels": labels[40:]}],
        "loader": lambda: DataLoader(TensorDataset(x, labels), 16),
    }
    with pytest.raises(ValueError, match=message):
        TraceRecorder(network(), forms[form](), tmp_path / "run")


class Named(Dataset[Any]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, place: int) -> Any:
        return torch.ones(WIDTH), ["ash", "oak"][place % 2]


def test_labels_that_are_names_are_refused_with_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give the number of each sample's class, 0 to 2, and the names as classes="):
        TraceRecorder(network(), Named(), tmp_path / "run")


def test_labels_of_an_own_run_are_read_by_the_first_record(tmp_path: Path) -> None:
    x = data().tensors[0]
    batches = [{"x": x[:40], "y": late(0.7)[:40]}, {"x": x[40:], "y": late(0.7)[40:]}]
    recorder = TraceRecorder(network(), batches, tmp_path / "run", run=lambda model, one: (model(one["x"]), one["y"]))
    with pytest.raises(ValueError, match=r"labels, sample 47: 0\.7 is no class number"):
        recorder.record(0.1)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.uint8, torch.int32])
def test_whole_numbers_of_any_type_are_class_numbers(tmp_path: Path, kind: Any) -> None:
    with TraceRecorder(network(), data((torch.arange(N) % CLASSES).to(kind)), tmp_path / "run") as recorder:
        recorder.record(0.1)
    with safe_open(tmp_path / "run", framework="pt") as file:
        assert torch.equal(file.get_tensor("labels"), torch.arange(N) % CLASSES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ids": ["a"] * N}, "ids= must differ, but 'a' is there 50 times"),
        ({"ids": [str(place) for place in range(9)]}, "ids= has 9 entries for 50 samples"),
        ({"ids": ["", *map(str, range(N - 1))]}, "ids=: '' is empty"),
        ({"reference_ids": ["a"]}, "reference_ids= names samples of a reference, and there is none"),
        ({"ids": range(N), "reference": data()}, "reference_ids= is missing"),
        ({"ids": range(N), "reference_ids": range(N), "reference": data()}, "ids= must differ, but '0' is there 2"),
        ({"classes": ["a", "b"]}, "classes= has 2 names for 3 classes"),
        ({"classes": ["a", "b", "a "]}, "classes= must differ, but 'a' is there 2 times"),
    ],
)
def test_names_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TraceRecorder(network(), data(), tmp_path / "run", **options)


def test_more_ids_than_the_header_holds_are_refused_and_numbers_are_an_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early_checks, "_LONGEST_NAMES", 600)
    with pytest.raises(ValueError, match=r"take \d+ bytes of the file's header, .* whole numbers"):
        TraceRecorder(network(), data(), tmp_path / "run", ids=[f"picture-{place:05}" for place in range(N)])
    with TraceRecorder(network(), data(), tmp_path / "run", ids=range(1000, 1000 + N)) as recorder:
        recorder.record(0.1)
    with safe_open(tmp_path / "run", framework="np") as file:
        assert np.array_equal(file.get_tensor("ids"), np.arange(1000, 1000 + N))
        assert "ids" not in (file.metadata() or {})


def test_the_limits_are_those_of_the_reader() -> None:
    from service.ingest.limits import Limits
    from service.ingest.readers import named, recorded

    assert Limits().max_classes == early_checks.MOST_CLASSES
    assert Limits().max_columns // recorded._ARRAYS == early_checks.MOST_EPOCHS
    assert early_checks._LONGEST_NAMES < named._LONGEST_HEADER
    assert (recorded._SLOWEST, recorded._FASTEST) == (early_checks.SLOWEST_RATE, early_checks.FASTEST_RATE)
    assert recorded._LARGEST == early_checks.LARGEST_NUMBER


def test_more_classes_than_the_service_takes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_checks, "MOST_CLASSES", 2)
    with pytest.raises(ValueError, match="the model tells 3 classes apart; the service takes 2 at most"):
        TraceRecorder(network(), data(), tmp_path / "run")


def test_epochs_beyond_what_the_service_reads_are_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usual_suspects.recorder.recorder.MOST_EPOCHS", 2)
    with TraceRecorder(network(), data(), tmp_path / "run") as recorder:
        recorder.record(0.1)
        recorder.record(0.1)
        with pytest.warns(RuntimeWarning, match="epoch 3 is not recorded: the service reads 2 at most"):
            recorder.record(0.1)
    with safe_open(tmp_path / "run", framework="np") as file:
        assert "logits_3" not in set(file.keys())


def test_the_former_import_path_gives_the_same_recorder() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from worker import recorder
    assert recorder.TraceRecorder is TraceRecorder


def test_class_numbers_are_marked_as_columns_of_the_logits(tmp_path: Path) -> None:
    with TraceRecorder(network(), data(), tmp_path / "run", classes=["1", "2", "3"]) as recorder:
        recorder.record(0.1)
    with safe_open(tmp_path / "run", framework="np") as file:
        metadata = file.metadata() or {}
    assert (json.loads(metadata["classes"]), metadata["labels"]) == (["1", "2", "3"], "columns")


@pytest.mark.parametrize("ids", [np.arange(N), torch.arange(N), np.array([f"s{n}" for n in range(N)])])
def test_names_may_come_as_arrays(tmp_path: Path, ids: Any) -> None:
    classes: Any = np.array(["fir", "elm", "oak"])
    with TraceRecorder(network(), data(), tmp_path / "run", ids=ids, classes=classes) as recorder:
        recorder.record(0.1)
    assert (tmp_path / "run").exists()
