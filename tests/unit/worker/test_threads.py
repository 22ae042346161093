"""Small steps are computed on one thread, large ones on all, and the number is as before when they are done."""

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from service.domain.models.tabular import BoostedTreesParams
from tests.trees import SHAPE, table
from tests.trees import training as training_of_trees
from worker.machine.threads import one_thread
from worker.models.boosted_trees import BoostedTrees
from worker.training import boosting
from worker.training.loop import train
from worker.training.step_size import products_of_a_sample


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def of_training(model: nn.Module, *shape: int) -> int:
    seen: set[int] = set()
    options = training_of_trees(1).model_copy(update={"batch_size": 32})
    train(
        model,
        (torch.randn(64, *shape),),
        torch.arange(64) % 2,
        options,
        resume=None,
        after_epoch=lambda _state, _metrics: None,
        after_batch=lambda _done: seen.add(torch.get_num_threads()),
    )
    (found,) = seen
    return found


def test_a_small_network_trains_on_one_thread_and_a_large_one_on_all() -> None:
    assert of_training(nn.Linear(8, 2), 8) == 1
    assert of_training(nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 2)), 1024) == 3


def convolutions(width: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, width, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 2))


def test_a_small_network_of_convolutions_trains_on_one_thread_and_a_large_one_on_all() -> None:
    assert of_training(convolutions(4), 1, 8, 8) == 1
    assert of_training(convolutions(1024), 1, 32, 32) == 3


def test_a_network_with_weights_of_another_kind_trains_on_all() -> None:
    assert of_training(nn.Sequential(nn.Linear(8, 8), nn.PReLU(), nn.Linear(8, 2)), 8) == 3


def test_counting_the_products_of_a_sample_leaves_the_network_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(5 * 16, 2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert products_of_a_sample(model, (torch.randn(1, 3, 4, 4),)) == 5 * 3 * 9 * 16 + 5 * 16 * 2
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("size", "expected"), [(boosting.SMALL_TABLE, 1), (100, 3)])
def test_trees_of_a_small_table_grow_on_one_thread_and_those_of_a_large_one_on_all(
    size: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boosting, "SMALL_TABLE", size)
    inputs, labels = table(2)
    seen: set[int] = set()
    boosting.grow(
        BoostedTrees(BoostedTreesParams(), SHAPE, 2),
        inputs,
        labels,
        training_of_trees(1),
        resume=None,
        after_epoch=lambda _state, _metrics: seen.add(torch.get_num_threads()),
    )
    assert seen == {expected}


def test_an_error_gives_the_threads_back() -> None:
    def fails() -> None:
        with one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError

    with pytest.raises(KeyError):
        fails()
