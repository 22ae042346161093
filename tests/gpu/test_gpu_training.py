"""Training and recording on a real GPU: the same numbers as on the CPU, and the same bits each time."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.domain.specs import Training
from tests.unit.worker.test_models import SHAPES, samples
from tests.unit.worker.test_training import RUNS, SGD, equal, model_of, same
from worker.influence.activations import ActivationRecorder
from worker.machine.arithmetic import fix_arithmetic
from worker.machine.cuda_graphs import CudaGraphs, Graphs
from worker.machine.devices import CPU
from worker.models import head
from worker.training.autograd_epoch import _tell_of_failure
from worker.training.loop import EpochMetrics, TrainingState, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of NVIDIA"),
    # Where a GPU lacks a deterministic form of an operation, torch says so.
    pytest.mark.filterwarnings("ignore:.*deterministic.*:UserWarning"),
]

GPU = torch.device("cuda:0")
ROWS, CLASSES = 35, 3  # four batches of 8, and one of 3
LABELS = torch.arange(ROWS) % CLASSES
Case = tuple[str, str, Training, dict[str, Any]]
CASES: list[Case] = [*RUNS, ("small_cnn", "grey", SGD.model_copy(update={"augmentation": "flip_crop"}), {})]
NAMES = [f"{case[0]}-{case[2].optimizer}-{case[2].augmentation}" for case in CASES]


def graphs(device: torch.device) -> Graphs:
    return CudaGraphs(device)


def no_graphs(_device: torch.device) -> None:
    return None


@pytest.fixture(autouse=True)
def _as_in_a_worker(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("worker.training.loop._FEWEST_RECORDED", 1)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)  # put back at the end
    before = torch.get_deterministic_debug_mode()
    fix_arithmetic(gpu=True)
    _tell_of_failure.cache_clear()
    yield
    torch.set_deterministic_debug_mode(before)


def of(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    training: Training,
    graphs_of: Callable[[torch.device], Graphs | None],
    resume: TrainingState | None = None,
) -> tuple[list[TrainingState], list[EpochMetrics]]:
    states, metrics = list[TrainingState](), list[EpochMetrics]()

    def keep(state: TrainingState, epoch: EpochMetrics) -> None:
        states.append(state)
        metrics.append(epoch)
        torch.rand(7, device=GPU)  # what others draw in between must not matter

    train(model, inputs, LABELS, training, resume=resume, after_epoch=keep, graphs_of=graphs_of)
    return states, metrics


def run(
    case: Case,
    graphs_of: Callable[[torch.device], Graphs | None],
    resume: TrainingState | None = None,
    device: torch.device = GPU,
) -> tuple[list[TrainingState], list[EpochMetrics]]:
    name, shape, training, params = case
    return of(model_of(name, shape, params).to(device), samples(SHAPES[shape], ROWS), training, graphs_of, resume)


def assert_close(ones: list[EpochMetrics], others: list[EpochMetrics]) -> None:
    # Not the weights: those before a batch normalisation may go anywhere, and rounding decides where AdamW moves them.
    for one, other in zip(ones, others, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-3)


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_replayed_steps_give_the_numbers_of_steps_run_one_by_one(case: Case, capfd: pytest.CaptureFixture[str]) -> None:
    (_, replayed), (_, eager) = run(case, graphs), run(case, no_graphs)
    assert_close(replayed, eager)
    out, err = capfd.readouterr()
    assert "cannot be recorded" not in out + err


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_same_seed_gives_the_same_bits_interrupted_or_not(case: Case) -> None:
    whole, metrics = run(case, graphs)
    again, measured = run(case, graphs)
    assert all(map(same, whole, again))
    assert metrics == measured
    for state in whole[:-1]:
        rest, after = run(case, graphs, state)
        assert all(map(same, rest, whole[state.epoch :]))
        assert after == metrics[state.epoch :]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_samples_that_are_copied_batch_by_batch_give_the_bits_of_those_that_stay(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, _ = run(case, graphs)
    monkeypatch.setattr("worker.machine.placed_samples._SHARE", 0.0)
    copied, _ = run(case, graphs)
    assert all(map(same, there, copied))


@pytest.mark.parametrize("case", [RUNS[4], RUNS[7]], ids=["sgd", "adamw"])  # networks without dropout
def test_a_state_of_a_gpu_is_trained_on_by_a_processor_and_the_other_way_round(case: Case, tmp_path: Path) -> None:
    _, whole = run(case, no_graphs, device=CPU)
    for first, second in [(GPU, CPU), (CPU, GPU)]:
        begun, _ = run(case, graphs if first == GPU else no_graphs, device=first)
        begun[1].save(tmp_path / "state.pt")
        state = TrainingState.load(tmp_path / "state.pt")
        _, rest = run(case, graphs if second == GPU else no_graphs, state, device=second)
        assert_close(rest, whole[2:])


class Waits(nn.Linear):
    """Looks at a number on its way, for which a processor waits."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        found: Tensor = super().forward(input)
        return found if found.sum().item() < 1e9 else -found


@pytest.mark.parametrize("found", ["in the warm-up", "while recording"])
def test_a_network_that_waits_is_trained_step_by_step_and_draws_as_before(
    found: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if found == "while recording":
        monkeypatch.setattr("worker.machine.cuda_graphs._waiting_is_an_error", nullcontext)
    states = []
    for graphs_of in (graphs, no_graphs):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), Waits(5, CLASSES)).to(GPU)
        inputs = (torch.linspace(-1, 1, 4 * ROWS).view(ROWS, 4),)
        states.append(of(model, inputs, RUNS[1][2], graphs_of)[0])
    assert all(equal(one.model, other.model) for one, other in zip(*states, strict=True))
    out, err = capfd.readouterr()
    assert (out + err).count("cannot be recorded") == 1


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_what_is_recorded_of_a_checkpoint_is_what_a_processor_records(case: Case, tmp_path: Path) -> None:
    name, shape, _, params = case
    recorded = []
    for device in (GPU, CPU):
        model = model_of(name, shape, params).to(device)
        recorder = ActivationRecorder(model, head(model), samples(SHAPES[shape], ROWS), (0.1,), tmp_path)
        inner = recorder.read_checkpoint(0, inner=True)
        recorded.append([recorder.trace.activations.clone(), recorder.trace.logits.clone(), inner])
    for one, other in zip(*recorded, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
