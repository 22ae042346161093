"""Training: the same seed gives the same bits, however often it was interrupted."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.domain.models import MODELS
from service.domain.specs import ModelRequest, Training
from tests.unit.worker.test_models import CASES, SHAPES, needed, samples
from worker.models import build
from worker.training.loop import Diverged, EpochMetrics, TrainingState, checkpoints, learning_rate, train

ROWS, CLASSES = 33, 3
LABELS = torch.arange(ROWS) % CLASSES

SGD = Training(
    epochs=4,
    batch_size=8,
    learning_rate=0.02,
    optimizer="sgd",
    schedule="cosine",
    momentum=0.9,
    weight_decay=1e-3,
    seed=5,
    checkpoints="all",
)
ADAMW = SGD.model_copy(update={"optimizer": "adamw", "learning_rate": 0.003})
# Dropout, batch normalisation, channels last: all that keeps or draws something between steps.
RUNS: list[tuple[str, str, Training, dict[str, Any]]] = [
    ("mlp", "both", SGD, {"dropout": 0.3}),
    ("tabular_resnet", "both", ADAMW, {}),
    ("tabm", "both", ADAMW, {"width": 8, "members": 3, "numeric_embeddings": "piecewise_linear"}),
    ("ft_transformer", "categories", ADAMW, {"width": 16}),
    ("small_cnn", "grey", SGD, {}),
    ("resnet20", "colour", SGD, {"width": 4}),
    ("resnet18", "tiny", SGD, {"width": 4}),
    ("linear_probe", "embedding", ADAMW, {}),
]


def model_of(name: str, shape: str, params: dict[str, Any]) -> nn.Module:
    return build(ModelRequest(name=name, params={**needed(name), **params}), SHAPES[shape], CLASSES, 3)


def run(
    name: str, shape: str, training: Training, params: dict[str, Any], resume: TrainingState | None = None
) -> tuple[list[TrainingState], list[EpochMetrics]]:
    """All states and metrics of a run."""
    states: list[TrainingState] = []
    metrics: list[EpochMetrics] = []

    def keep(state: TrainingState, epoch: EpochMetrics) -> None:
        states.append(state)
        metrics.append(epoch)
        torch.rand(7)  # What others draw in between must not matter.

    train(
        model_of(name, shape, params),
        samples(SHAPES[shape], ROWS),
        LABELS,
        training,
        resume=resume,
        after_epoch=keep,
    )
    return states, metrics


def equal(one: Any, other: Any) -> bool:
    """The same bits all the way down."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    return bool(one == other)


def same(one: TrainingState, other: TrainingState) -> bool:
    return equal(vars(one), vars(other))


@pytest.mark.parametrize(("name", "shape", "training", "params"), RUNS)
def test_a_run_that_goes_on_from_any_epoch_ends_in_the_same_bits(
    tmp_path: Path, name: str, shape: str, training: Training, params: dict[str, Any]
) -> None:
    whole, metrics = run(name, shape, training, params)
    assert [state.epoch for state in whole] == [1, 2, 3, 4]
    for state in whole[:-1]:
        state.save(tmp_path / "state.pt")
        rest, measured = run(name, shape, training, params, TrainingState.load(tmp_path / "state.pt"))
        assert [state.epoch for state in rest] == [one.epoch for one in whole[state.epoch :]]
        assert all(map(same, rest, whole[state.epoch :]))
        assert measured == metrics[state.epoch :]


def test_a_run_goes_on_from_a_state_in_memory_and_leaves_it_as_it_was(tmp_path: Path) -> None:
    whole, _ = run(*RUNS[1][:3], params={})
    whole[1].save(tmp_path / "before.pt")
    rest, _ = run(*RUNS[1][:3], params={}, resume=whole[1])
    assert same(rest[-1], whole[-1])
    assert same(whole[1], TrainingState.load(tmp_path / "before.pt"))
    assert not equal(whole[0].model, whole[1].model)
    assert not equal(whole[0].optimizer["state"], whole[1].optimizer["state"])


def test_another_seed_gives_another_run() -> None:
    first, _ = run(*RUNS[0])
    again, _ = run(*RUNS[0])
    name, shape, training, params = RUNS[0]
    other, _ = run(name, shape, training.model_copy(update={"seed": 6}), params)
    assert all(map(same, first, again))
    assert not equal(first[0].model, other[0].model)


def test_the_global_random_state_stays_as_it_was() -> None:
    torch.manual_seed(9)
    before = torch.get_rng_state()
    train(
        model_of("mlp", "both", {"dropout": 0.3}),
        samples(SHAPES["both"], ROWS),
        LABELS,
        SGD,
        resume=None,
        after_epoch=lambda _state, _metrics: None,
    )
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("name", "shape"), CASES)
@pytest.mark.parametrize("rows", [17, 6])
def test_every_model_trains_with_its_defaults_and_a_last_batch_of_one(name: str, shape: str, rows: int) -> None:
    defaults = MODELS[name].training
    assert defaults is not None
    training = Training.model_validate(
        {**defaults.model_dump(), "epochs": 1, "batch_size": 8, "seed": 0, "checkpoints": "all"}
    )
    model = model_of(name, shape, {})
    before = {key: value.clone() for key, value in model.state_dict().items()}
    told: list[EpochMetrics] = []
    train(
        model,
        samples(SHAPES[shape], rows),
        torch.arange(rows) % CLASSES,
        training,
        resume=None,
        after_epoch=lambda _state, metrics: told.append(metrics),
    )
    assert told[0].epoch == 1
    assert told[0].loss > 0
    assert 0 <= told[0].accuracy <= 1
    assert not equal(before, model.state_dict())


class Recorder(nn.Module):
    """A linear model that remembers which samples came together, and in which mode; the first column numbers them."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(1, classes)
        self.batches: list[list[int]] = []
        self.modes: set[bool] = set()

    def forward(self, x: Tensor) -> Tensor:
        """Logits that know nothing."""
        self.batches.append(x[:, 0].int().tolist())
        self.modes.add(self.training)
        logits: Tensor = self.layer(0 * x)
        return logits


def test_every_epoch_sees_each_sample_once_in_an_order_of_its_own() -> None:
    model = Recorder(2)
    told: list[EpochMetrics] = []
    train(
        model,
        (torch.arange(17.0)[:, None],),
        torch.arange(17) % 2,
        SGD.model_copy(update={"epochs": 2}),
        resume=None,
        after_epoch=lambda _state, metrics: told.append(metrics),
    )
    assert [len(batch) for batch in model.batches] == [8, 9, 8, 9]
    first, second = ([*part, *rest] for part, rest in (model.batches[:2], model.batches[2:]))
    assert sorted(first) == sorted(second) == list(range(17))
    assert first != second
    assert first != sorted(first)


def test_dropout_and_batch_statistics_are_on_in_every_epoch() -> None:
    model = Recorder(2).eval()

    def scored(_state: TrainingState, _metrics: EpochMetrics) -> None:
        model.eval()

    train(
        model,
        (torch.arange(17.0)[:, None],),
        torch.arange(17) % 2,
        SGD,
        resume=None,
        after_epoch=scored,
    )
    assert model.modes == {True}


def test_metrics_are_means_over_the_epoch() -> None:
    model = Recorder(2)
    nn.init.zeros_(model.layer.weight)
    with torch.no_grad():
        model.layer.bias.copy_(torch.tensor([1.0, 0.0]))
    labels = torch.tensor([0] * 12 + [1] * 5)
    told: list[EpochMetrics] = []
    train(
        model,
        (torch.arange(17.0)[:, None],),
        labels,
        SGD.model_copy(update={"epochs": 1, "learning_rate": 1e-9}),
        resume=None,
        after_epoch=lambda _state, metrics: told.append(metrics),
    )
    lost = nn.functional.cross_entropy(torch.tensor([[1.0, 0.0]]).expand(17, 2), labels)
    assert told[0].loss == pytest.approx(float(lost), rel=1e-5)
    assert told[0].accuracy == pytest.approx(12 / 17)
    assert told[0].learning_rate == 1e-9


def test_what_after_epoch_raises_ends_the_run() -> None:
    seen: list[int] = []

    def stop(state: TrainingState, _metrics: EpochMetrics) -> None:
        seen.append(state.epoch)
        if state.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model_of("mlp", "both", {}), samples(SHAPES["both"], ROWS), LABELS, SGD, resume=None, after_epoch=stop)
    assert seen == [1, 2]


@pytest.mark.parametrize("rate", [1e3, 100.0])
def test_divergence_is_told_with_the_epoch_and_how_to_mend_it(rate: float) -> None:
    training = SGD.model_copy(update={"learning_rate": rate, "schedule": "constant", "epochs": 30})
    reached: list[int] = []
    with pytest.raises(Diverged, match=rf"Lower training.learning_rate, which is {rate:g}") as caught:
        train(
            model_of("mlp", "both", {}),
            samples(SHAPES["both"], ROWS),
            LABELS,
            training,
            resume=None,
            after_epoch=lambda state, _metrics: reached.append(state.epoch),
        )
    assert reached == list(range(1, caught.value.epoch))
    assert f"epoch {caught.value.epoch}" in caught.value.detail


def test_an_exploded_but_finite_loss_is_divergence_after_the_first_epoch() -> None:
    model = nn.Linear(2, 2)
    x = torch.tensor([[500.0, 0.0], [500.0, 0.0]])
    training = SGD.model_copy(update={"learning_rate": 0.01, "momentum": 0.0, "weight_decay": 0.0, "batch_size": 2})
    reached: list[int] = []
    with pytest.raises(Diverged) as caught:
        # One and the same sample under both labels: steps that are too long jump from one label to the other.
        train(
            model,
            (x.repeat(20, 1),),
            torch.arange(40) % 2,
            training,
            resume=None,
            after_epoch=lambda state, _metrics: reached.append(state.epoch),
        )
    assert caught.value.epoch == 2
    assert reached == [1]


def test_rates_follow_their_schedule() -> None:
    training = SGD.model_copy(update={"epochs": 5, "learning_rate": 0.2})
    rates = [learning_rate(training, epoch) for epoch in range(1, 6)]
    assert rates == pytest.approx([0.2, 0.171, 0.101, 0.031, 0.002], abs=5e-4)
    constant = training.model_copy(update={"schedule": "constant"})
    assert [learning_rate(constant, epoch) for epoch in range(1, 6)] == [0.2] * 5
    assert learning_rate(training.model_copy(update={"epochs": 1}), 1) == 0.2


def test_the_state_carries_the_rate_of_its_epoch() -> None:
    states, metrics = run(*RUNS[7])
    expected = [learning_rate(ADAMW, epoch) for epoch in range(1, 5)]
    assert [state.learning_rate for state in states] == [one.learning_rate for one in metrics] == expected
    assert [state.optimizer["param_groups"][0]["lr"] for state in states] == expected


@pytest.mark.parametrize("training", [SGD, ADAMW])
def test_the_optimizer_is_the_one_that_was_asked_for(training: Training) -> None:
    name, shape, _, params = RUNS[7]
    (group,) = run(name, shape, training, params)[0][-1].optimizer["param_groups"]
    assert group["weight_decay"] == training.weight_decay
    assert group.get("momentum") == (training.momentum if training is SGD else None)
    assert ("betas" in group) == (training is ADAMW)


@pytest.mark.parametrize(
    ("epochs", "kept", "expected"),
    [
        (5, "all", [1, 2, 3, 4, 5]),
        (10, 4, [1, 2, 6, 10]),
        (7, 1, [7]),
        (3, 3, [1, 2, 3]),
        (60, 8, [1, 2, 3, 4, 18, 32, 46, 60]),
    ],
)
def test_half_of_the_checkpoints_are_the_first_epochs_and_the_others_spread_to_the_last(
    epochs: int, kept: Any, expected: list[int]
) -> None:
    training = SGD.model_copy(update={"epochs": epochs, "checkpoints": kept})
    assert checkpoints(training) == expected


@pytest.mark.parametrize("epochs", range(1, 40))
def test_as_many_checkpoints_as_asked_for(epochs: int) -> None:
    for kept in range(1, epochs + 1):
        found = checkpoints(SGD.model_copy(update={"epochs": epochs, "checkpoints": kept}))
        assert len(set(found)) == kept
        assert found == sorted(found)
        assert found[0] >= 1
        assert found[-1] == epochs


def test_a_saved_state_is_whole_or_not_there(tmp_path: Path) -> None:
    states, _ = run(*RUNS[7])
    path = tmp_path / "00001.pt"
    states[0].save(path)
    broken = TrainingState(2, 0.1, {}, {"state": lambda: None})
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        broken.save(path)
    assert same(TrainingState.load(path), states[0])
    states[1].save(path)
    assert same(TrainingState.load(path), states[1])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["00001.pt", "00001.pt.seal"]


def test_loading_never_runs_code_from_the_file(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "state.pt"
    torch.save({"epoch": 1, "learning_rate": 0.1, "model": {}, "optimizer": Payload()}, path)
    with pytest.raises(Exception, match="weights_only"):
        TrainingState.load(path)
    assert not (tmp_path / "ran").exists()
