"""Influence on a real GPU: what the processor computes, within rounding. `make test-gpu`."""

import os
from dataclasses import replace

import pytest
import torch

from tests.equivalence.drawn_pairs import KINDS, inputs, same
from tests.unit.signals.test_row_computations import measured, tensors
from worker.influence.fused_check import kernels_work
from worker.influence.fused_pairs import FusedPairRows
from worker.influence.pair_sums import PairRows
from worker.influence.row_computations import alone
from worker.job.on_device import OnDevice

# The tests themselves can be tried without a GPU, by TEST_DEVICE=cpu and TRITON_INTERPRET=1.
DEVICE = torch.device(os.environ.get("TEST_DEVICE", "cuda"))
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(DEVICE.type == "cuda" and not torch.cuda.is_available(), reason="no GPU of NVIDIA"),
]
EVERY = slice(0, 10)


@pytest.mark.skipif(DEVICE.type == "cpu", reason="no kernel runs on a processor but for tests")
def test_the_kernels_are_used() -> None:
    assert kernels_work(DEVICE, "exact")
    assert kernels_work(DEVICE, "fast")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [False, True])
def test_the_kernels_keep_of_every_pair_what_the_processor_keeps(kind: str, shared: bool) -> None:
    of = inputs(kind, shared=shared)
    wanted = PairRows(of)(EVERY)
    with DEVICE:
        fused = FusedPairRows.of(of.on(DEVICE))
        assert fused is not None
        first, second = fused(EVERY), fused(EVERY)
    same({name: one.cpu() for name, one in first.items()}, wanted)
    assert all(first[name].equal(second[name]) for name in first)


def test_fast_kernels_err_by_little() -> None:
    of = replace(inputs("of its own"), precision="fast", relabelled=False)
    wanted = PairRows(of)(EVERY)
    with DEVICE:
        fused = FusedPairRows.of(of.on(DEVICE))
        assert fused is not None
        found = fused(EVERY)
    for side in ("positive", "negative"):
        amount = wanted[f"{side}.amount"]
        assert (found[f"{side}.amount"].cpu() - amount).abs().max() < 0.01 * amount.max()


@pytest.mark.parametrize("kind", ["trusted", "verified", "grouped", "itself", "itself, grouped"])
@pytest.mark.parametrize("room", [2**40, 2**17])
def test_what_a_gpu_measures_is_what_the_processor_measures(kind: str, room: int) -> None:
    expected = tensors(measured(alone, kind))
    begin = OnDevice(DEVICE, alone, lambda _device: room).begin
    found = tensors(measured(begin, kind, device=DEVICE))
    assert found.keys() == expected.keys()
    for name, one in expected.items():
        if not name.endswith("strongest"):  # of two that are as strong, either
            assert torch.allclose(found[name].double(), one.double(), rtol=1e-3, atol=1e-4), name
