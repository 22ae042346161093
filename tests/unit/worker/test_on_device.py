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
from worker.influence.row_computations import Arrays, OfRows, OnShare, Recipe, RowComputation, alone
from worker.influence.tracin import class_gradient_sums
from worker.job.on_device import OnDevice
from worker.machine.devices import CPU, computed_on
from worker.signals import neighbours
from worker.signals.class_computation import SummedGradients, class_computation
from worker.signals.held_out import ERRORS, SCORES
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


@pytest.mark.parametrize(("kind", "room"), [("trusted", LITTLE), ("itself, grouped", 2 * LITTLE)])
def test_what_a_device_has_no_room_for_is_computed_in_parts_or_on_the_processor(
    kind: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.job.on_device.GRAIN", 16)
    expected, otherwise = tensors(measured(alone, kind)), Otherwise()
    with held_on_meta.device() as device:
        begin = OnDevice(device, otherwise.begin, lambda _device: room).begin
        found = tensors(measured(begin, kind, device=device))
    same(found, expected)
    assert "pairs" not in otherwise.labels
    assert ("comparison-0" in otherwise.labels) == (kind == "trusted")


def test_parts_of_few_rows_are_left_to_the_processor() -> None:
    # Each would prepare the reference anew.
    otherwise = Otherwise()
    with held_on_meta.device() as device:
        measured(OnDevice(device, otherwise.begin, lambda _device: LITTLE).begin, "trusted", device=device)
    assert "pairs" in otherwise.labels


def test_the_processor_computes_what_a_device_runs_out_of_memory_for() -> None:
    def open_on(_device: torch.device) -> OfRows:
        def of_rows(rows: slice) -> Arrays:
            if rows.start > 0:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return {"a": torch.zeros(rows.stop - rows.start)}

        return of_rows

    def on_processor() -> OfRows:
        return lambda rows: {"a": torch.ones(rows.stop - rows.start)}

    computation = RowComputation("large", 100_000, 1.0, on_processor, open_on=open_on)
    with held_on_meta.device() as device:
        found = OnDevice(device, alone, lambda _device: PLENTY).begin(computation, ignored)()
    assert found["a"].sum() == 100_000


def test_another_error_on_a_device_is_an_error() -> None:
    def open_on(_device: torch.device) -> OfRows:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    computation = RowComputation("broken", 5, 1.0, lambda: lambda _rows: {}, open_on=open_on)
    with pytest.raises(RuntimeError, match="illegal"):
        OnDevice(held_on_meta.DEVICE, unwanted, lambda _device: PLENTY).begin(computation, ignored)


def test_votes_that_a_device_runs_out_of_memory_for_are_those_of_the_processor() -> None:
    places = list[torch.device]()

    def compute(device: torch.device) -> int:
        places.append(device)
        if device != CPU:
            raise RuntimeError("cuBLAS error: CUBLAS_STATUS_ALLOC_FAILED")
        return 1

    assert computed_on(held_on_meta.DEVICE, compute) == 1
    assert places == [held_on_meta.DEVICE, CPU]


@pytest.mark.parametrize(("name", "capability"), [(ERRORS, (8, 6)), (SCORES, (7, 5))])
def test_gpus_that_are_slow_in_double_precision_are_spared_it(
    name: str, capability: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    otherwise = Otherwise()
    recipe = Recipe(name, {})
    computation = RowComputation(name, 5, 1.0, lambda: lambda rows: {"a": torch.ones(rows.stop - rows.start)}, recipe)
    # There is no such device here: whoever asked it for anything would fail.
    OnDevice(torch.device("cuda"), otherwise.begin, lambda _device: PLENTY).begin(computation, ignored)
    assert otherwise.labels == [name]


def test_shares_reach_one_where_parts_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.job.on_device.GRAIN", 16)
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
