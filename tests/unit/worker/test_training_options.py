"""Training that differs from plain steps: what each option changes, and what it leaves alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from service.domain.specs import Training
from service.domain.training import EarlyStopping
from tests.unit.worker.test_models import SHAPES, samples
from tests.unit.worker.test_training import ADAMW, LABELS, ROWS, SGD, equal, model_of, run, same
from worker.influence.activations import ActivationRecorder
from worker.training.augmentation import flip_crop
from worker.training.loop import EpochMetrics, TrainingState, checkpoints, train
from worker.training.stopping import has_stopped_improving

PATIENT = EarlyStopping(patience=2, min_improvement=0.5)
RUNS: list[tuple[str, str, Training, dict[str, Any]]] = [
    ("mlp", "both", SGD.model_copy(update={"class_weights": "balanced"}), {"dropout": 0.3}),
    ("small_cnn", "colour", SGD.model_copy(update={"augmentation": "flip_crop"}), {}),
    ("tabular_resnet", "both", ADAMW.model_copy(update={"precision": "bfloat16"}), {}),
    ("tabm", "both", ADAMW.model_copy(update={"class_weights": "balanced", "precision": "bfloat16"}), {"width": 8}),
    ("mlp", "both", SGD.model_copy(update={"early_stopping": PATIENT, "epochs": 9}), {}),
]


@pytest.mark.parametrize(("name", "shape", "training", "params"), RUNS)
def test_with_any_option_a_run_that_goes_on_from_any_epoch_ends_in_the_same_bits(
    tmp_path: Path, name: str, shape: str, training: Training, params: dict[str, Any]
) -> None:
    whole, metrics = run(name, shape, training, params)
    for state in whole:
        state.save(tmp_path / "state.pt")
        rest, measured = run(name, shape, training, params, TrainingState.load(tmp_path / "state.pt"))
        assert [state.epoch for state in rest] == [one.epoch for one in whole[state.epoch :]]
        assert all(map(same, rest, whole[state.epoch :]))
        assert measured == metrics[state.epoch :]


@pytest.mark.parametrize(("name", "shape", "training", "params"), RUNS[:4])
def test_every_option_changes_what_is_learnt(name: str, shape: str, training: Training, params: dict[str, Any]) -> None:
    plain = (SGD if training.optimizer == "sgd" else ADAMW).model_copy(update={"epochs": 1})
    uneven = torch.arange(ROWS) % 3 * (torch.arange(ROWS) % 2)

    def weights(how: Training) -> dict[str, Tensor]:
        states: list[TrainingState] = []
        train(
            model_of(name, shape, params),
            samples(SHAPES[shape], ROWS),
            uneven,
            how,
            resume=None,
            after_epoch=lambda state, _metrics: states.append(state),
        )
        return states[-1].model

    assert not equal(weights(plain), weights(training.model_copy(update={"epochs": 1})))


class Bias(nn.Module):
    """Knows nothing but how frequent the classes are."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.layer(0 * x)
        return logits


def test_balanced_classes_weigh_the_same_however_few_their_samples() -> None:
    labels = torch.tensor([0] * 60 + [1] * 25 + [2] * 5)
    found = {}
    for weights in ("none", "balanced"):
        model = Bias()
        nn.init.zeros_(model.layer.bias)
        training = SGD.model_copy(
            update={"class_weights": weights, "epochs": 80, "batch_size": 90, "learning_rate": 0.3, "weight_decay": 0.0}
        )
        train(model, (torch.ones(90, 1),), labels, training, resume=None, after_epoch=lambda _state, _metrics: None)
        found[weights] = torch.softmax(model(torch.zeros(1, 1))[0], 0)
    torch.testing.assert_close(found["none"], torch.tensor([60, 25, 5]) / 90, rtol=0, atol=0.03)
    torch.testing.assert_close(found["balanced"], torch.full((3,), 1 / 3), rtol=0, atol=0.03)


def test_a_sample_weighs_the_same_in_any_batch() -> None:
    # The mean over batches of two is the mean over all: nothing is divided by a batch's own weights.
    labels = torch.tensor([0, 0, 0, 1])
    told: list[EpochMetrics] = []
    for size in (2, 4):
        training = SGD.model_copy(update={"class_weights": "balanced", "batch_size": size, "learning_rate": 1e-12})
        torch.manual_seed(0)
        train(
            Bias(),
            (torch.ones(4, 1),),
            labels,
            training.model_copy(update={"epochs": 1}),
            resume=None,
            after_epoch=lambda _state, metrics: told.append(metrics),
        )
    assert told[0].loss == pytest.approx(told[1].loss, rel=1e-5)


def test_a_moved_picture_holds_the_pixels_of_the_plain_one() -> None:
    torch.manual_seed(0)
    pixels = (torch.arange(12)[:, None] * 17 + torch.arange(17)[None]).to(torch.uint8).expand(200, 3, -1, -1)
    moved = flip_crop(pixels)
    assert moved.shape == pixels.shape
    assert moved.dtype == torch.uint8
    plain, mirrored = 0, 0
    for picture in moved[:, 0].int():
        steps = picture[:, 1:] - picture[:, :-1]
        assert set(steps.flatten().tolist()) <= {0, 1} or set(steps.flatten().tolist()) <= {0, -1}
        mirrored += int(steps.sum() < 0)
        plain += int(torch.equal(picture, pixels[0, 0].int()))
        # By no more than an eighth: one row, two columns.
        assert abs(int(picture[6].min()) // 17 - 6) <= 1
        assert len(set(steps[0].nonzero().flatten().tolist())) >= 14
    assert 60 < mirrored < 140
    assert 0 < plain < 60


class Watcher(nn.Module):
    """Remembers every picture that it saw, by mode."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.seen: dict[bool, list[Tensor]] = {True: [], False: []}

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits."""
        self.seen[self.training].append(pixels.clone())
        logits: Tensor = self.head(pixels.float().flatten(1)[:, :4] / 255)
        return logits


def test_training_sees_moved_pictures_and_scoring_the_plain_ones(tmp_path: Path) -> None:
    model, (pixels,) = Watcher(), samples(SHAPES["colour"], ROWS)
    training = SGD.model_copy(update={"augmentation": "flip_crop", "epochs": 2, "learning_rate": 1e-6})
    train(model, (pixels,), LABELS, training, resume=None, after_epoch=lambda _state, _metrics: None)
    ActivationRecorder(model, model.head, (pixels,), (0.1,), tmp_path).read_checkpoint(0)
    trained = torch.cat(model.seen[True])
    known = {picture.numpy().tobytes() for picture in pixels}
    assert sum(picture.numpy().tobytes() in known for picture in trained) < len(trained) / 4
    assert torch.equal(torch.cat(model.seen[False]), pixels)


@pytest.mark.parametrize(
    ("losses", "settled"),
    [
        ([], False),
        ([1.0, 0.9], False),
        ([1.0, 0.999, 0.998], True),
        ([1.0, 0.999, 0.5], False),
        ([1.0, 0.5, 0.6, 0.499], True),
        ([0.0, 0.0, 0.0], True),
        ([1.0, 2.0, 0.98, 2.0], False),
    ],
)
def test_training_has_settled_when_the_last_epochs_brought_nothing(losses: list[float], settled: bool) -> None:
    assert has_stopped_improving(losses, EarlyStopping(patience=2, min_improvement=0.01)) is settled
    assert not has_stopped_improving(losses, None)


def test_the_epochs_before_an_early_stop_are_those_of_the_whole_run() -> None:
    name, shape, training, params = RUNS[4]
    stopped, _ = run(name, shape, training, params)
    whole, _ = run(name, shape, training.model_copy(update={"early_stopping": None}), params)
    assert len(stopped) < len(whole)
    assert all(map(same, stopped, whole))


def test_checkpoints_spread_over_the_epochs_that_were_run() -> None:
    training = SGD.model_copy(update={"epochs": 60, "checkpoints": 8})
    assert checkpoints(training, 60) == checkpoints(training) == [1, 2, 3, 4, 18, 32, 46, 60]
    assert checkpoints(training, 12) == [1, 2, 3, 4, 6, 8, 10, 12]
    assert checkpoints(training, 5) == [1, 2, 3, 4, 5]
    assert checkpoints(training.model_copy(update={"checkpoints": "all"}), 3) == [1, 2, 3]


def test_a_state_that_was_written_before_losses_were_kept_can_be_gone_on_with(tmp_path: Path) -> None:
    states, _ = run("linear_probe", "embedding", ADAMW, {})
    older = {key: value for key, value in vars(states[0]).items() if key != "losses"}
    torch.save(older, tmp_path / "state.pt")
    rest, _ = run("linear_probe", "embedding", ADAMW, {}, TrainingState.load(tmp_path / "state.pt"))
    assert equal(rest[-1].model, states[-1].model)


def test_weights_and_losses_are_float32_in_any_precision() -> None:
    states, metrics = run("mlp", "both", SGD.model_copy(update={"precision": "bfloat16"}), {})
    plain, known = run("mlp", "both", SGD, {})
    assert {value.dtype for value in states[-1].model.values() if value.is_floating_point()} == {torch.float32}
    assert metrics[-1].loss == pytest.approx(known[-1].loss, rel=0.02)
    assert not equal(states[-1].model, plain[-1].model)


def test_the_loss_of_an_ensemble_is_the_mean_over_its_members() -> None:
    model, inputs = model_of("tabm", "both", {"dropout": 0.0, "members": 3}), samples(SHAPES["both"], ROWS)
    told: list[EpochMetrics] = []
    apart = model.train()(*inputs)
    expected = torch.stack([cross_entropy(apart[:, member], LABELS) for member in range(3)]).mean()
    training = SGD.model_copy(update={"epochs": 1, "batch_size": ROWS, "learning_rate": 1e-9})
    train(model, inputs, LABELS, training, resume=None, after_epoch=lambda _state, metrics: told.append(metrics))
    assert told[0].loss == pytest.approx(expected.item(), rel=1e-5)


def test_every_batch_says_how_many_epochs_are_done() -> None:
    model, inputs = model_of("mlp", "both", {}), samples(SHAPES["both"], ROWS)
    training = SGD.model_copy(update={"epochs": 2, "batch_size": ROWS // 4})
    done: list[float] = []
    train(model, inputs, LABELS, training, resume=None, after_epoch=lambda *_: None, after_batch=done.append)
    assert done == sorted(set(done))
    assert (len(done), done[-1]) == (2 * 4, 2)  # a last batch of one joins the one before
    assert 1 in done
