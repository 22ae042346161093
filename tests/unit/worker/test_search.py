"""The learning rate that is found: judged on samples that were not learnt from, safe, and the same every time."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.domain.specs import Training
from tests.unit.worker.test_models import SHAPES, samples
from tests.unit.worker.test_training import SGD, equal, model_of
from worker.training.search import find_rate

pytestmark = pytest.mark.slow  # trains

PLAIN = SGD.model_copy(update={"schedule": "constant", "weight_decay": 0.0, "epochs": 10, "batch_size": 20})


class Steep(nn.Module):
    """A linear model whose inputs are scaled: the larger the scale, the smaller the rate that it bears."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.head, self.scale = nn.Linear(3, 2), scale
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(x * self.scale)
        return logits


def halves(rows: int = 400, noise: float = 0.3) -> tuple[Tensor, Tensor]:
    """Two classes that a line parts, but for some."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, 3, generator=generator)
    return x, ((x[:, 0] + noise * torch.randn(rows, generator=generator)) > 0).long()


@pytest.mark.parametrize(("given", "expected"), [(1e-4, 4e-4), (100.0, 50.0)])
def test_too_low_a_rate_is_raised_and_too_high_a_one_lowered(given: float, expected: float) -> None:
    x, y = halves()
    found = find_rate(Steep(1.0), (x,), y, PLAIN.model_copy(update={"learning_rate": given}))
    assert found.rate == pytest.approx(expected)
    assert [one.rate / given for one in found.tried] == pytest.approx([0.5, 1, 2, 4, 8])


def test_a_higher_rate_is_not_chosen_unless_its_double_learns_nor_a_lower_one_unless_the_given_explodes() -> None:
    x, y = halves()
    chosen = set()
    for given in 10.0 ** torch.arange(-3.0, 3.0, 0.25).double():
        found = find_rate(Steep(3.0), (x,), y, PLAIN.model_copy(update={"learning_rate": float(given)}))
        losses = {one.rate: one.loss for one in found.tried}
        times = found.rate / float(given)
        if times > 1:
            assert losses[2 * found.rate] < math.log(2)
        else:
            assert (losses[float(given)] > 2 * math.log(2)) == (times < 1)
        assert times <= 4 * 1.000001
        chosen.add(round(times, 1))
    assert {0.5, 1.0, 4.0} <= chosen


def test_where_every_rate_diverges_the_lowest_is_taken() -> None:
    x, y = halves()
    found = find_rate(Steep(1e18), (x * 1e18,), y, PLAIN.model_copy(update={"learning_rate": 100.0}))
    assert found.rate == 50.0
    assert all(one.loss > 1 for one in found.tried)


@pytest.mark.parametrize(("name", "shape"), [("mlp", "both"), ("tabm", "numbers"), ("small_cnn", "grey")])
def test_the_same_seed_finds_the_same_and_leaves_everything_as_it_was(name: str, shape: str) -> None:
    model, inputs = model_of(name, shape, {}), samples(SHAPES[shape], 90)
    labels = torch.arange(90) % 3
    before = {key: value.clone() for key, value in model.state_dict().items()}
    random = torch.get_rng_state()
    found = find_rate(model, inputs, labels, SGD)
    torch.rand(3)
    assert find_rate(model, inputs, labels, SGD) == found
    assert equal(before, dict(model.state_dict()))
    torch.set_rng_state(random)
    find_rate(model, inputs, labels, SGD)
    assert torch.equal(torch.get_rng_state(), random)


class Counter(nn.Module):
    """Counts the samples that it learns from, and which it is asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 2)
        self.seen: dict[bool, list[Tensor]] = {True: [], False: []}

    def __deepcopy__(self, _memo: Any) -> "Counter":
        copied = Counter()
        copied.seen = self.seen
        return copied

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        self.seen[self.training].append(x[:, 0].int())
        logits: Tensor = self.head(0 * x)
        return logits


@pytest.mark.parametrize(("rows", "epochs"), [(40, 3), (500, 10), (9_000, 20), (60_000, 15)])
def test_the_search_costs_a_few_percent_and_judges_by_samples_that_it_did_not_learn(rows: int, epochs: int) -> None:
    model = Counter()
    training = Training.model_validate({**PLAIN.model_dump(), "epochs": epochs, "batch_size": 50})
    find_rate(model, (torch.arange(float(rows))[:, None],), torch.arange(rows) % 2, training)
    steps, whole = len(model.seen[True]), epochs * math.ceil(rows / 50)
    # A twentieth; on small tables, where a run takes a second anyway, a hundred steps.
    assert steps <= max(0.05 * whole, 5 * 20 * 1.3)
    learnt, judged = (set(torch.cat(model.seen[mode]).tolist()) for mode in (True, False))
    assert not learnt & judged
    assert len(judged) == min(rows // 5, 1_000)


def test_batches_larger_than_the_data_cost_no_more_steps() -> None:
    steps = []
    for batch_size in (400, 65_536):  # all of the 240 samples that are learnt from, in both
        model = Counter()
        training = Training.model_validate({**PLAIN.model_dump(), "epochs": 2, "batch_size": batch_size})
        find_rate(model, (torch.arange(300.0)[:, None],), torch.arange(300) % 2, training)
        steps.append(len(model.seen[True]))
    assert steps[0] == steps[1] <= 5 * 2


def test_data_too_small_to_hold_any_out_keeps_the_rate_that_was_given() -> None:
    found = find_rate(Steep(1.0), (torch.randn(4, 3),), torch.tensor([0, 1, 0, 1]), PLAIN)
    assert found.rate == PLAIN.learning_rate
    assert found.tried == ()
