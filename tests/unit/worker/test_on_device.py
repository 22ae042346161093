"""Computations over rows on a device of their own, with a stand-in for a GPU."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from tests import held_on_meta
from tests.unit.signals.test_row_computations import measured, tensors
from worker.influence.gradient_sources import CheckpointedModel, ChosenLayerGradients
from worker.influence.pair_computation import pair_computation
from worker.influence.pair_inputs import PairInputs
from worker.influence.pairs_counted import PairsCounted
from worker.influence.projection import Projection
from worker.influence.row_computations import Arrays, OnShare, RowComputation, alone
from worker.influence.tracin import class_gradient_sums
from worker.job.on_device import OnDevice
from worker.machine.devices import CPU
from worker.signals import neighbours
from worker.signals.class_computation import SummedGradients, class_computation
from worker.signals.sample_groups import SampleGroups
from worker.signals.votes import embedding_votes

KINDS = ["trusted", "verified", "grouped", "itself", "itself, grouped", "itself, trees", "trees"]
PLENTY, LITTLE = 2**40, 2**17


def ignored(_share: float) -> None:
    """Nobody asks how far it is."""


class Otherwise:
    """Notes what a device did not take."""

    def __init__(self) -> None:
        self.labels: list[str] = []

    def begin(self, computation: RowComputation, on_share: OnShare) -> Callable[[], Arrays]:
        self.labels.append(computation.label)
        return alone(computation, on_share)


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        assert torch.allclose(found[name].double(), one.double(), rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_device_measures_is_what_the_processor_measures(kind: str) -> None:
    expected, otherwise = tensors(measured(alone, kind)), Otherwise()
    with held_on_meta.device() as device:
        begin = OnDevice(device, otherwise.begin, lambda _device: PLENTY).begin
        found = tensors(measured(begin, kind, device=device))
    same(found, expected)
    # Trees are looked up where they are grown.
    of_trees = [one for one in otherwise.labels if one == "pairs" or one.startswith("influence")]
    assert otherwise.labels == of_trees
    assert bool(of_trees) == ("trees" in kind)


@pytest.mark.parametrize("kind", ["trusted", "itself, grouped"])
def test_what_a_device_has_no_room_for_is_computed_in_parts_or_on_the_processor(kind: str) -> None:
    expected, otherwise = tensors(measured(alone, kind)), Otherwise()
    with held_on_meta.device() as device:
        begin = OnDevice(device, otherwise.begin, lambda _device: LITTLE).begin
        found = tensors(measured(begin, kind, device=device))
    same(found, expected)
    assert "pairs" not in otherwise.labels
    assert any("isolation" in one for one in otherwise.labels)


def test_shares_reach_one_where_parts_are_computed() -> None:
    shares: list[float] = []
    with held_on_meta.device() as device:
        begin = OnDevice(device, alone, lambda _device: LITTLE).begin
        measured(begin, "itself", shares.append, device)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


def network(projection: Projection | None) -> tuple[ChosenLayerGradients, Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    checkpointed = CheckpointedModel(model, ["0", "2"], projection)
    for _ in range(2):
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        checkpointed.add_checkpoint(model.state_dict())
    return ChosenLayerGradients(checkpointed, [torch.randn(40, 5)]), torch.arange(40) % 3


@pytest.mark.parametrize("projection", [None, Projection(16, 0)])
@pytest.mark.parametrize("by_checkpoint", [False, True])
def test_gradients_of_a_network_stay_on_the_device(projection: Projection | None, by_checkpoint: bool) -> None:
    source, labels = network(projection)
    known = torch.arange(0, 40, 2)
    reference = ChosenLayerGradients(source._model, [source._inputs[0][known]])
    inputs = PairInputs(
        source,
        labels,
        reference,
        labels[known],
        (0.1, 0.2),
        3,
        PairsCounted(),
        by_checkpoint=by_checkpoint,
        relabelled=True,
    )
    sums = tuple(class_gradient_sums(source, t, labels, 3) for t in range(2))
    summed = SummedGradients(0, inputs.rates, sums, labels.bincount(), is_training_set=True)
    for computation in (pair_computation(inputs), class_computation(source, labels, summed)):
        assert computation.recipe is None
        expected = alone(computation, ignored)()
        with held_on_meta.device() as device:
            found = OnDevice(device, unwanted, lambda _device: PLENTY).begin(computation, ignored)()
        same(found, expected)


def unwanted(computation: RowComputation, _on_share: OnShare) -> Callable[[], Arrays]:
    raise AssertionError(f"{computation.label} was not taken")


def test_a_computation_that_nothing_can_move_is_begun_otherwise() -> None:
    rows = partial(lambda rows: {"a": torch.ones(rows.stop - rows.start)})
    computation = RowComputation("still", 5, 1.0, lambda: rows)
    otherwise = Otherwise()
    assert (
        OnDevice(held_on_meta.DEVICE, otherwise.begin, lambda _device: PLENTY).begin(computation, ignored)()["a"].sum()
        == 5
    )
    assert otherwise.labels == ["still"]


def test_the_stand_in_refuses_tensors_on_two_devices() -> None:
    with held_on_meta.device() as device, pytest.raises(RuntimeError, match="two devices"):
        torch.ones(3).to(device) + torch.ones(3)


@pytest.mark.parametrize("grouped", [False, True])
def test_neighbours_in_cells_are_found_on_a_device(grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # So few rows are compared with all others otherwise.
    monkeypatch.setattr(neighbours, "_EXACT", 500)
    rows = torch.randn(1_000, 8, generator=torch.Generator().manual_seed(0))
    groups = SampleGroups(torch.arange(1_000) // 2, torch.arange(0)) if grouped else None

    def votes(device: torch.device) -> Tensor:
        return embedding_votes(rows, torch.arange(1_000) % 5, 5, torch.Generator().manual_seed(1), groups, device)

    expected = votes(CPU)
    with held_on_meta.device() as device:
        found = votes(device)
    assert torch.allclose(found, expected, atol=1e-5)


def test_neighbours_that_a_gpu_has_no_room_for_are_found_by_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = torch.randn(50, 8), torch.arange(50) % 5
    expected = embedding_votes(rows, labels, 5, torch.Generator())
    monkeypatch.setattr("worker.signals.votes.free_memory", lambda _device: 3_000)
    # There is no such device here: whoever asked it for anything would fail.
    found = embedding_votes(rows, labels, 5, torch.Generator(), device=torch.device("cuda"))
    assert found.equal(expected)
