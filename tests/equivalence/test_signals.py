"""Each published signal equals a slow, literal transcription of its definition."""

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from service.domain.signal import SIGNALS
from worker.influence.factors import Trace, errors
from worker.signals.formulas import FORMULAS, compute
from worker.signals.measurements import Measurements, Measuring, Reference

CLASSES, SAMPLES, REFERENCES, WIDTH, RATES = 4, 37, 23, 6, (0.1, 0.05, 0.05, 0.02, 0.01)


class World:
    """Random traces of training and reference rows, and the influence between them as a plain matrix."""

    def __init__(self, *, serves_itself: bool = False, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(0, CLASSES, (SAMPLES,), generator=generator)
        self.train = self._trace(SAMPLES, generator)
        if serves_itself:
            rows = torch.arange(SAMPLES)
            self.reference = Reference(self.train, self.labels, columns=rows, weights=torch.ones(SAMPLES))
        else:
            known = torch.randint(0, CLASSES, (REFERENCES,), generator=generator)
            self.reference = Reference(self._trace(REFERENCES, generator), known, trusted=True)
        self.matrix = sum(
            (
                rate * self._gradients(self.train, self.labels, t) @ self._gradients(*self._known, t).T
                for t, rate in enumerate(RATES)
            ),
            torch.zeros(SAMPLES, len(self.reference.labels), dtype=torch.float64),
        )
        if serves_itself:
            self.matrix.fill_diagonal_(0)

    @property
    def _known(self) -> tuple[Trace, Tensor]:
        return self.reference.trace, self.reference.labels

    def _trace(self, rows: int, generator: torch.Generator) -> Trace:
        shape = (len(RATES), rows)
        return Trace(
            torch.randn(*shape, WIDTH, generator=generator),
            2 * torch.randn(*shape, CLASSES, generator=generator),
            RATES,
        )

    @staticmethod
    def _gradients(trace: Trace, labels: Tensor, t: int) -> Tensor:
        delta = errors(trace.logits[t].double(), labels)
        activations = torch.cat([trace.activations[t].double(), torch.ones(len(labels), 1)], 1)
        return torch.einsum("nc,nd->ncd", delta, activations).flatten(1)

    def measured(self) -> Measurements:
        """What the product computes from."""
        measuring = Measuring(self.train, self.labels, self.reference, CLASSES, seed=0)
        for t in range(len(RATES)):
            measuring.at(t)
        return measuring.finish(lambda _share: None)

    def of_class(self, i: int, c: int) -> list[float]:
        """The influences of sample i on the reference samples of class c."""
        return [float(self.matrix[i, j]) for j, y in enumerate(self.reference.labels) if int(y) == c]

    def others(self) -> int:
        """How many reference samples count for each training sample."""
        return len(self.reference.labels) - (self.reference.columns is not None)

    def margins(self, i: int) -> list[float]:
        """`z_y - max z_c` at each checkpoint."""
        y = int(self.labels[i])
        return [
            float(z[i, y]) - max(float(z[i, c]) for c in range(CLASSES) if c != y) for z in self.train.logits.double()
        ]

    def probabilities(self, i: int) -> list[list[float]]:
        """Softmax at each checkpoint."""
        return [[float(p) for p in torch.softmax(z[i].double(), 0)] for z in self.train.logits]


def _all(w: World, i: int) -> list[float]:
    return [value for c in range(CLASSES) for value in w.of_class(i, c)]


def _own(w: World, i: int) -> list[float]:
    return w.of_class(i, int(w.labels[i]))


def _si(w: World, i: int) -> float:
    return sum(rate * float(w._gradients(w.train, w.labels, t)[i].square().sum()) for t, rate in enumerate(RATES))


def _el2n(w: World, i: int) -> float:
    y = int(w.labels[i])
    return sum(math.sqrt(sum((p - (c == y)) ** 2 for c, p in enumerate(row))) for row in w.probabilities(i)) / len(
        RATES
    )


def _forgetting(w: World, i: int) -> float:
    right = [margin > 0 for margin in w.margins(i)]
    if not any(right):
        return len(RATES) + 1
    return sum(now and not then for now, then in pairwise(right))


LITERAL: dict[str, Callable[[World, int], float]] = {
    "si": _si,
    "aai": lambda w, i: sum(abs(v) for v in _all(w, i)) / w.others(),
    "mai": lambda w, i: sum(abs(v) for v in _all(w, i)),
    "mi": lambda w, i: -sum(_all(w, i)),
    "mpi": lambda w, i: sum(max(v, 0) for v in _all(w, i)),
    "mni": lambda w, i: -sum(min(v, 0) for v in _all(w, i)),
    "gd_class": lambda w, i: -min(sum(w.of_class(i, c)) for c in range(CLASSES)),
    "nil": lambda w, i: -sum(min(v, 0) for v in _own(w, i)),
    "nil_opt": lambda w, i: -min(sum(min(v, 0) for v in w.of_class(i, c)) for c in range(CLASSES)),
    "slip": lambda w, i: -sum(v > 0 for v in _own(w, i)),
    "slin": lambda w, i: sum(v < 0 for v in _own(w, i)),
    "aum": lambda w, i: -sum(w.margins(i)) / len(RATES),
    "aum_early": lambda w, i: -sum(w.margins(i)[:2]) / 2,
    "el2n": _el2n,
    "loss": lambda w, i: sum(-math.log(row[int(w.labels[i])]) for row in w.probabilities(i)) / len(RATES),
    "forgetting": _forgetting,
}


@pytest.mark.parametrize("serves_itself", [False, True])
@pytest.mark.parametrize("name", LITERAL)
def test_a_published_signal_equals_its_definition(name: str, serves_itself: bool) -> None:
    world = World(serves_itself=serves_itself)
    scores = compute(world.measured(), [name])[name].double()
    expected = torch.tensor([LITERAL[name](world, i) for i in range(SAMPLES)], dtype=torch.float64)
    assert (scores - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_every_signal_of_the_table_has_a_formula_and_the_other_way_round() -> None:
    assert FORMULAS.keys() == SIGNALS.keys()


def test_every_signal_gives_one_finite_score_a_sample() -> None:
    scores = compute(World().measured(), list(SIGNALS))
    assert scores.keys() == SIGNALS.keys()
    for name, values in scores.items():
        assert values.shape == (SAMPLES,), name
        assert torch.isfinite(values).all(), name


def test_without_a_trusted_reference_only_the_signals_that_need_one_are_missing() -> None:
    scores = compute(World(serves_itself=True).measured(), list(SIGNALS))
    missing = SIGNALS.keys() - scores.keys()
    assert missing == {name for name, signal in SIGNALS.items() if signal.trusted_reference}


def test_the_two_answers_lie_between_zero_and_one() -> None:
    for serves_itself in (False, True):
        scores = compute(World(serves_itself=serves_itself).measured(), ["mislabeled", "anomalous"])
        for values in scores.values():
            assert float(values.min()) >= 0
            assert float(values.max()) <= 1


@pytest.mark.parametrize("serves_itself", [False, True])
def test_scores_do_not_depend_on_the_order_of_the_rows(serves_itself: bool) -> None:
    world = World(serves_itself=serves_itself)
    before = compute(world.measured(), list(SIGNALS))
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(1))
    world.train, world.labels = world.train.rows(order), world.labels[order]
    if serves_itself:
        world.reference = Reference(
            world.train, world.labels, columns=torch.arange(SAMPLES), weights=torch.ones(SAMPLES)
        )
    after = compute(world.measured(), list(SIGNALS))
    # Exact neighbours at this size; only support_self draws, and only from labels of more than 256 rows.
    for name, values in before.items():
        assert torch.allclose(values[order].double(), after[name].double(), rtol=1e-4, atol=1e-4), name


def test_checkpoints_are_measured_in_order_or_not_at_all() -> None:
    world = World()
    measuring = Measuring(world.train, world.labels, world.reference, CLASSES, seed=0)
    measuring.at(0)
    with pytest.raises(ValueError, match="checkpoint 2 measured when 1 was next"):
        measuring.at(2)
