"""The kernels for GPUs give what torch gives on the processor. Without a GPU, Triton's interpreter runs them."""

import os
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor, nn

from tests.equivalence.drawn_pairs import KINDS, C, M, N, T, inputs, labels, same, trace
from worker.influence import fused_check
from worker.influence.fused_check import kernels_work
from worker.influence.fused_columns import Tiles
from worker.influence.fused_pairs import FusedPairRows
from worker.influence.gradient_sources import (
    CheckpointedModel,
    ChosenLayerGradients,
    GradientSource,
    LastLayerGradients,
)
from worker.influence.gradients import Dense, Gradient, Outer
from worker.influence.packed_gradients import ERROR_STEP, Packing
from worker.influence.pair_inputs import PairInputs
from worker.influence.pair_sums import PairRows
from worker.influence.pairs_counted import PairsCounted
from worker.influence.row_computations import Arrays
from worker.influence.tracin import gradient_norms

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is for Linux")
# Read when the kernels are imported, which is when the first of them runs.
os.environ.setdefault("TRITON_INTERPRET", "1")


def fused(of: PairInputs) -> FusedPairRows:
    found = FusedPairRows.of(of)
    assert found is not None
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [False, True])
def test_kernels_keep_of_every_pair_what_torch_keeps(kind: str, shared: bool) -> None:
    of = inputs(kind, shared=shared)
    rows = slice(N - 10, N)
    same(fused(of)(rows), PairRows(of)(rows))


def test_kernels_take_a_layer_without_bias_and_leave_out_what_nobody_asked_for() -> None:
    of = replace(inputs("of its own", bias=False), relabelled=False)
    found = fused(of)(slice(0, 5))
    assert "moved" not in found
    same(found, PairRows(of)(slice(0, 5)))


def test_kernels_take_several_layers() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 17), nn.Tanh(), nn.Linear(17, C, bias=False))
    checkpointed = CheckpointedModel(model, ["0", "2"], None)
    for _ in range(2):
        for parameter in model.parameters():
            nn.init.normal_(parameter)
        checkpointed.add_checkpoint(model.state_dict())
    train, reference = (ChosenLayerGradients(checkpointed, [torch.randn(rows, 5)]) for rows in (20, 40))
    of = PairInputs(
        train,
        labels(20, 6),
        reference,
        labels(40, 7),
        (0.1, 0.3),
        C,
        PairsCounted(),
        by_checkpoint=False,
        relabelled=True,
    )
    same(fused(of)(slice(0, 6)), PairRows(of)(slice(0, 6)))


def test_a_class_without_columns_has_no_influence() -> None:
    of = inputs("of its own")
    of = replace(of, reference_labels=of.reference_labels.clamp(max=C - 2))
    found = fused(of)(slice(0, 5))
    assert not found["positive.amount"][:, -1].any()
    same(found, PairRows(of)(slice(0, 5)))


class Formed:
    """Gradients that are no outer products."""

    samples, block = M, M

    def gradients(self, t: int, rows: slice | Tensor, labels: Tensor) -> list[Gradient]:
        del t, rows
        return [Dense(torch.ones(len(labels), 3))]

    def on(self, device: torch.device) -> GradientSource:
        del device
        return self


def test_the_strongest_are_found_among_many_chunks() -> None:
    # Of ten chunks five of each sign are looked through.
    of = inputs("of its own")
    many = 300
    reference, known = LastLayerGradients(trace(many, 8)), labels(many, 9)
    of = replace(of, reference=reference, reference_labels=known, relabelled=False)
    same(fused(of)(slice(0, 4)), PairRows(of)(slice(0, 4)))


def test_a_worker_finds_out_whether_kernels_compute_rightly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_check, "_ROWS", 6)
    monkeypatch.setattr(fused_check, "_COLUMNS", 60)
    monkeypatch.setattr(fused_check, "_WIDTH", 20)
    assert fused_check._differences(torch.device("cpu"), "exact", shared=True) == {}
    right = FusedPairRows.__call__

    def wrong(self: FusedPairRows, rows: slice) -> Arrays:
        found = right(self, rows)
        return {**found, "positive.amount": found["positive.amount"] * 1.01}

    monkeypatch.setattr(FusedPairRows, "__call__", wrong)
    assert list(fused_check._differences(torch.device("cpu"), "exact", shared=True)) == ["positive.amount"]


def test_kernels_that_fail_are_not_used_and_memory_that_ran_out_tells_nothing_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # There is no such device here: whoever asked it for anything would fail.
    device = torch.device("cuda:0")
    monkeypatch.setattr(fused_check, "_known", {})
    answers: list[Exception | dict[str, float]] = [torch.OutOfMemoryError("CUDA out of memory"), {}, {}]

    def differences(*_arguments: object, **_named: object) -> dict[str, float]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(fused_check, "_differences", differences)
    with pytest.raises(torch.OutOfMemoryError):
        kernels_work(device, "exact")
    assert kernels_work(device, "exact")
    answers.append(ValueError("no compiler"))
    assert not kernels_work(device, "fast")
    # Found out once.
    assert kernels_work(device, "exact")
    assert not kernels_work(device, "fast")
    answers.extend([{"positive.amount": 0.5}, {}])
    monkeypatch.setattr(fused_check, "_known", {})
    assert not kernels_work(device, "exact")


def test_what_does_not_suit_the_kernels_is_left_to_torch() -> None:
    of = inputs("of its own")
    # Of one column each, a class fills a sixteenth of its tile.
    assert FusedPairRows.of(replace(of, reference_labels=torch.arange(M), classes=M)) is None
    assert FusedPairRows.of(replace(of, train=Formed(), reference=Formed())) is None
    # No kernel runs on a processor but for tests.
    assert not kernels_work(torch.device("cpu"), "exact")


@pytest.mark.parametrize("sizes", [(64, 128), (70, 40, 90), (17, 17, 300), (200, 0, 5)])
def test_tiles_have_each_column_once_and_columns_of_one_class_alone(sizes: tuple[int, ...]) -> None:
    drawn = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    order = torch.randperm(len(drawn), generator=torch.Generator().manual_seed(0))
    tiles = Tiles.of(drawn[order], len(sizes))
    assert tiles is not None
    there = tiles.originals[tiles.originals >= 0]
    assert there.sort().values.equal(torch.arange(len(drawn)))
    assert tiles.originals[tiles.places()].equal(torch.arange(len(drawn)))
    for label, (first, last) in enumerate(zip(tiles.first[:-1].tolist(), tiles.first[1:].tolist(), strict=True)):
        columns = tiles.originals[first * tiles.columns : last * tiles.columns]
        assert set(drawn[order][columns[columns >= 0]].tolist()) <= {label}
    assert len(tiles.originals) <= 1.5 * len(drawn)


@pytest.mark.parametrize("shared", [False, True])
def test_packed_rows_have_the_inner_products_of_the_gradients(shared: bool) -> None:
    torch.manual_seed(0)
    entered = [torch.randn(6, width) for width in (5, 33)]
    gradients = [
        [Outer(one if shared else torch.randn_like(one), torch.randn(6, 4)) for one in entered] for _ in range(T)
    ]
    packing = Packing.of(gradients, shared=shared)
    assert packing is not None
    packed = packing.pack(gradients)
    for terms, layers in ((packing.terms(), gradients), (packing.last_terms(), gradients[-1:])):
        total = torch.zeros(6, 6)
        for first, last, error_first, error_last in terms:
            assert (last - first) % packing.step == 0 == (error_last - error_first) % ERROR_STEP
            u, v = packed.inputs[:, first:last], packed.errors[:, error_first:error_last]
            total += (u @ u.T) * (v @ v.T)
        norms = torch.stack([gradient_norms(list(one)).square() for one in layers]).sum(0)
        assert torch.allclose(total.diagonal(), norms, rtol=1e-4)
    assert len(packing.terms()) == (2 if shared else 2 * T)


def test_kernels_compile_for_gpus_and_keep_their_numbers_in_registers() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.compiled_kernels"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 4 * 6
    for *what, narrow, stack in lines:
        # A few bytes are no loss; hundreds would be tiles that do not fit.
        assert int(stack) <= 64, what
        # Four numbers are copied at once where their places are known to be multiples of 16.
        assert int(narrow) <= 6, what
