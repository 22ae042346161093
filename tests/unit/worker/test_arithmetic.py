"""How a worker process computes: the same bits each time, and nothing read from memory before it is written."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.unit.worker.test_models import SHAPES, samples
from tests.unit.worker.test_training import RUNS, model_of, run, same
from worker.influence.activations import ActivationRecorder
from worker.machine.arithmetic import fix_arithmetic
from worker.models import head

FILL = "fill_uninitialized_memory"


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", os.environ.get("CUBLAS_WORKSPACE_CONFIG", ":4096:8"))
    monkeypatch.setattr(torch.utils.deterministic, FILL, True)  # put back at the end
    before = torch.get_deterministic_debug_mode()
    products, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.set_deterministic_debug_mode(before)
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = products, convolutions


@pytest.mark.parametrize("gpu", [False, True])
def test_a_process_computes_float32_without_tf32_and_does_not_fill_memory(gpu: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    fix_arithmetic(gpu=gpu)
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert getattr(torch.utils.deterministic, FILL) is False
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled() == gpu


def recorded(place: int, scratch: Path) -> list[Tensor]:
    name, shape, _, params = RUNS[place]
    model = model_of(name, shape, params)
    recorder = ActivationRecorder(model, head(model), samples(SHAPES[shape], 33), (0.1,), scratch)
    inner = recorder.read_checkpoint(0, inner=True)
    return [recorder.trace.activations, recorder.trace.logits, *([] if inner is None else [inner])]


@pytest.mark.parametrize("place", range(len(RUNS)))
def test_nothing_is_read_from_memory_before_it_is_written(place: int, tmp_path: Path) -> None:
    plain, outputs = run(*RUNS[place]), recorded(place, tmp_path)
    torch.set_deterministic_debug_mode("error")  # fills fresh memory with NaN and with the largest integers
    filled, again = run(*RUNS[place]), recorded(place, tmp_path)
    assert all(map(same, plain[0], filled[0]))
    assert plain[1] == filled[1]
    assert all(map(torch.equal, outputs, again))
