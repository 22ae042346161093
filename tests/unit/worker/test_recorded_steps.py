"""Steps that are recorded once and replayed: the same bits as steps that are run one by one."""

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.domain.specs import Training
from tests.unit.worker.recorded_operations import NothingRecorded, RecordedOperations
from tests.unit.worker.test_models import SHAPES, samples
from tests.unit.worker.test_training import ADAMW, RUNS, SGD, equal, model_of, same
from worker.machine.cuda_graphs import Graphs
from worker.training.autograd_epoch import _tell_of_failure
from worker.training.autograd_step import AutogradStep, CapturedStep
from worker.training.direct_network import DirectNetwork
from worker.training.loop import EpochMetrics, TrainingState, learning_rate, train

ROWS, CLASSES = 35, 3  # four batches of 8, and one of 3
LABELS = torch.arange(ROWS) % CLASSES
CASES = [
    *RUNS,
    ("tabular_resnet", "both", SGD.model_copy(update={"class_weights": "balanced"}), {}),
    ("small_cnn", "grey", SGD.model_copy(update={"augmentation": "flip_crop"}), {}),
    ("mlp", "both", ADAMW.model_copy(update={"precision": "bfloat16"}), {}),
]


@pytest.fixture(autouse=True)
def _steps_worth_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.training.loop._FEWEST_RECORDED", 1)
    monkeypatch.setattr(DirectNetwork, "of", lambda _model: None)

    def rounded(training: Training, epoch: int) -> float:
        # As a graph reads it; where no step is recorded, torch computes with the rate in double precision.
        return ctypes.c_float(learning_rate(training, epoch)).value

    monkeypatch.setattr("worker.training.loop.learning_rate", rounded)
    _tell_of_failure.cache_clear()


def run(
    graphs: Graphs | None,
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    training: Training,
    resume: TrainingState | None = None,
) -> tuple[list[TrainingState], list[EpochMetrics]]:
    states, metrics = list[TrainingState](), list[EpochMetrics]()

    def keep(state: TrainingState, epoch: EpochMetrics) -> None:
        states.append(state)
        metrics.append(epoch)
        model.eval()  # as recording does

    train(model, inputs, LABELS, training, resume=resume, after_epoch=keep, graphs_of=lambda _device: graphs)
    return states, metrics


def of_case(
    graphs: Graphs | None, case: tuple[str, str, Training, dict[str, Any]], resume: TrainingState | None = None
) -> tuple[list[TrainingState], list[EpochMetrics]]:
    name, shape, training, params = case
    return run(graphs, model_of(name, shape, params), samples(SHAPES[shape], ROWS), training, resume)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[2].optimizer}-{case[2].augmentation}")
def test_replayed_steps_give_the_bits_of_steps_run_one_by_one(case: tuple[str, str, Training, dict[str, Any]]) -> None:
    graphs = RecordedOperations()
    replayed, eager = of_case(graphs, case), of_case(NothingRecorded(), case)
    assert all(map(same, replayed[0], eager[0]))
    assert replayed[1] == eager[1]
    # The rate is another in each epoch, and the last batch of each is smaller.
    assert (graphs.recorded, graphs.replayed) == (1, 4 * 4)


@pytest.mark.parametrize("case", [RUNS[0], RUNS[1]], ids=["sgd", "adamw"])
def test_a_recorded_run_goes_on_from_any_state_to_the_same_bits(
    case: tuple[str, str, Training, dict[str, Any]],
) -> None:
    whole, metrics = of_case(RecordedOperations(), case)
    for state in whole[:-1]:
        graphs = RecordedOperations()
        rest, measured = of_case(graphs, case, state)
        assert graphs.recorded == 1
        assert all(map(same, rest, whole[state.epoch :]))
        assert measured == metrics[state.epoch :]


@pytest.mark.parametrize("case", [RUNS[0], RUNS[1]], ids=["sgd", "adamw"])
def test_a_state_says_nothing_of_how_steps_were_launched(case: tuple[str, str, Training, dict[str, Any]]) -> None:
    plain, _ = of_case(None, case)
    for first, second in [(RecordedOperations(), None), (None, RecordedOperations())]:
        begun, _ = of_case(first, case)
        rest, _ = of_case(second, case, begun[1])
        assert begun[1].optimizer["param_groups"][0].keys() == plain[1].optimizer["param_groups"][0].keys()
        assert isinstance(begun[1].optimizer["param_groups"][0]["lr"], float)
        assert not begun[1].optimizer["param_groups"][0].get("capturable")
        assert second is None or second.replayed == 2 * 4, "on another device steps are recorded there"
        for key, value in rest[-1].model.items():
            torch.testing.assert_close(value, plain[-1].model[key], rtol=1e-3, atol=1e-4)


class Waits(nn.Linear):
    """Looks at a number on its way, for which a processor waits."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        found: Tensor = super().forward(input)
        return found if found.sum().item() < 1e9 else -found


def test_a_network_that_cannot_be_recorded_is_trained_step_by_step_and_the_log_says_so_once(
    capfd: pytest.CaptureFixture[str],
) -> None:
    states = []
    for graphs in (RecordedOperations(), RecordedOperations(), NothingRecorded()):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.5), Waits(5, CLASSES))
        states.append(run(graphs, model, (torch.linspace(-1, 1, 4 * ROWS).view(ROWS, 4),), ADAMW)[0])
    assert all(map(same, states[0], states[1]))
    assert all(map(same, states[0], states[2]))
    out, err = capfd.readouterr()
    assert (out + err).count("cannot be recorded") == 1


class Crowded(nn.Linear):
    """Has no room for a step beside a graph."""

    graphs: RecordedOperations | None = None

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        if self.graphs is not None and self.graphs.recorded:
            self.graphs = None  # it is dropped
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(input)


def test_a_network_without_room_beside_its_graph_is_trained_step_by_step() -> None:
    states = []
    for graphs in (RecordedOperations(), NothingRecorded()):
        torch.manual_seed(0)
        crowded = Crowded(5, CLASSES)
        crowded.graphs = graphs if isinstance(graphs, RecordedOperations) else None
        model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), crowded)
        states.append(run(graphs, model, (torch.linspace(-1, 1, 4 * ROWS).view(ROWS, 4),), ADAMW)[0])
        assert not isinstance(graphs, RecordedOperations) or (graphs.recorded, graphs.replayed) == (1, 0)
    assert all(map(same, *states))


@pytest.mark.parametrize("graphs", [RecordedOperations, NothingRecorded])
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
def test_recording_changes_nothing(graphs: Callable[[], Graphs], optimizer: Any) -> None:
    model = model_of("tabular_resnet", "both", {})
    options = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    steps = AutogradStep(model, optimizer(model.parameters(), lr=0.1, fused=True, **options), None, half=False)
    batch = (*samples(SHAPES["both"], 8), LABELS[:8])
    for _ in range(2):
        # Before the first step, and after one.
        def known() -> Any:
            state = {name: value.clone() for name, value in model.state_dict().items()}
            kept = [{k: v.clone() for k, v in one.items()} for one in steps.optimizer.state.values()]
            groups = [{k: v for k, v in group.items() if k != "params"} for group in steps.optimizer.param_groups]
            return state, kept, groups, steps.total.clone(), steps.right.clone()

        before = known()
        try:
            CapturedStep(steps, tuple(part.clone() for part in batch), graphs())
        except RuntimeError:
            assert graphs is NothingRecorded
        after = known()
        assert equal(before[0], after[0])
        if before[1]:
            assert equal(before[1], after[1])
        assert not any(value.any() for one in after[1] for value in one.values()) or before[1]
        assert all(map(equal, before[2:], after[2:]))
        steps.optimizer.zero_grad()
        steps(batch)


def test_few_steps_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.training.loop._FEWEST_RECORDED", 17)
    graphs = RecordedOperations()
    of_case(graphs, RUNS[1])
    assert graphs.recorded == 0
    monkeypatch.setattr("worker.training.loop._FEWEST_RECORDED", 16)
    of_case(graphs, RUNS[1])
    assert graphs.recorded == 1
