"""Each published signal equals a slow, literal transcription of its definition."""

import math
import statistics
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from service.domain.signal import SIGNALS
from worker.influence.activations import Trace, logit_errors
from worker.signals.formulas import FORMULAS, compute
from worker.signals.measurements import Measurements, Measuring, Reference, searched_checkpoints

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
        delta = logit_errors(trace.logits[t].double(), labels)
        activations = torch.cat([trace.activations[t].double(), torch.ones(len(labels), 1)], 1)
        return torch.einsum("nc,nd->ncd", delta, activations).flatten(1)

    def measured(self) -> Measurements:
        """What the product computes from."""
        measuring = Measuring(self.train, self.labels, self.reference, CLASSES, seed=0)
        for t in range(len(RATES)):
            known = None if self.reference.columns is not None else self.reference.trace.activations[t]
            measuring.at(t, self.train.activations[t], known)
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


def _relabelled(w: World, i: int, label: int) -> list[float]:
    """The influences of sample i at the last checkpoint, had it that label."""
    labels = w.labels.clone()
    labels[i] = label
    own = w._gradients(w.train, labels, len(RATES) - 1)[i]
    known, known_labels = w._known
    values = RATES[-1] * w._gradients(known, known_labels, len(RATES) - 1) @ own
    if w.reference.columns is not None:
        values[i] = 0
    return [float(value) for value in values]


def _of(w: World, values: list[float], c: int) -> list[float]:
    return [value for value, y in zip(values, w.reference.labels, strict=True) if int(y) == c]


def _cnci(w: World, i: int) -> float:
    hurt = min(range(CLASSES), key=lambda c: sum(min(v, 0) for v in w.of_class(i, c)))
    return sum(min(v, 0) for v in _of(w, _relabelled(w, i, hurt), int(w.labels[i])))


def _pcid(w: World, i: int) -> float:
    before = [sum(max(v, 0) for v in w.of_class(i, c)) for c in range(CLASSES)]
    second = sorted(range(CLASSES), key=lambda c: before[c])[-2]
    values = _relabelled(w, i, second)
    after = [sum(max(v, 0) for v in _of(w, values, c)) for c in range(CLASSES)]
    return 1 / (sum(before) * max(abs(p - q) for p, q in zip(before, after, strict=True)))


def _ranked(values: list[float], i: int) -> float:
    below, same = sum(v < values[i] for v in values), sum(v == values[i] for v in values)
    return (below + (same + 1) / 2) / len(values)


@cache
def _class_cosines(w: World, t: int, i: int) -> list[float]:
    """Mean cosine of sample i's gradient with those of each class's reference samples, itself left out."""
    own = w._gradients(w.train, w.labels, t)[i]
    known, labels = w._known
    gradients = w._gradients(known, labels, t)
    rows = [j for j in range(len(labels)) if not (w.reference.columns is not None and j == i)]
    means = []
    for c in range(CLASSES):
        cosines = [float(own @ gradients[j] / own.norm() / gradients[j].norm()) for j in rows if int(labels[j]) == c]
        means.append(sum(cosines) / len(cosines) if cosines else 0.0)
    return means


def _gc_own(w: World, i: int) -> float:
    ranks = []
    for t in range(len(RATES)):
        values = [-_class_cosines(w, t, k)[int(w.labels[k])] for k in range(SAMPLES)]
        ranks.append(_ranked(values, i))
    return sum(ranks) / len(ranks)


def _gc_margin(w: World, i: int) -> float:
    ranks = []
    for t in range(len(RATES)):
        values = []
        for k in range(SAMPLES):
            means, y = _class_cosines(w, t, k), int(w.labels[k])
            values.append(max(m for c, m in enumerate(means) if c != y) - means[y])
        ranks.append(_ranked(values, i))
    return sum(ranks) / len(ranks)


def _confidences(w: World, i: int) -> list[float]:
    return [row[int(w.labels[i])] for row in w.probabilities(i)]


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
    "cnci": _cnci,
    "pcid": _pcid,
    "relatif": lambda w, i: -sum(_all(w, i)) / w.others() / math.sqrt(_si(w, i)),
    "grand": lambda w, i: sum(float(w._gradients(w.train, w.labels, t)[i].norm()) for t in range(5)) / 5,
    "confidence": lambda w, i: -sum(_confidences(w, i)) / len(RATES),
    "variability": lambda w, i: statistics.pstdev(_confidences(w, i)),
    "gc_own": _gc_own,
    "gc_margin": _gc_margin,
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
    assert scores.keys() == {name for name, signal in SIGNALS.items() if not signal.embeddings}
    for name, values in scores.items():
        assert values.shape == (SAMPLES,), name
        assert torch.isfinite(values).all(), name


def test_without_a_trusted_reference_only_the_signals_that_need_one_are_missing() -> None:
    scores = compute(World(serves_itself=True).measured(), list(SIGNALS))
    missing = SIGNALS.keys() - scores.keys()
    assert missing == {name for name, signal in SIGNALS.items() if signal.trusted_reference or signal.embeddings}


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
    measuring.at(0, world.train.activations[0], world.reference.trace.activations[0])
    with pytest.raises(ValueError, match="checkpoint 2 measured when 1 was next"):
        measuring.at(2)


def test_cfrank_is_the_larger_of_two_ranks() -> None:
    scores = compute(World().measured(), ["cnci", "pcid", "cfrank"])
    for i in range(SAMPLES):
        ranks = [_ranked(scores[name].double().tolist(), i) for name in ("cnci", "pcid")]
        assert float(scores["cfrank"][i]) == pytest.approx(max(ranks))


def test_influence_density_equals_its_definition() -> None:
    world = World()
    measured = world.measured()
    assert measured.trusted is not None
    for step, t in enumerate(searched_checkpoints(len(RATES))):
        train = normalize(world._gradients(world.train, world.labels, t), dim=1)
        known = normalize(world._gradients(*world._known, t), dim=1)
        near = ((train @ train.T - 1) / 0.1).exp()
        near.fill_diagonal_(0)
        expected = (near.sum(1) / (SAMPLES - 1)).log() - ((train @ known.T - 1) / 0.1).exp().mean(1).log()
        assert torch.allclose(measured.trusted.density[step].double(), expected, rtol=1e-4, atol=1e-4)


def test_embeddings_have_a_vote_of_their_own() -> None:
    world = World(serves_itself=True)
    frozen = torch.eye(CLASSES)[world.labels] + 0.01 * torch.arange(SAMPLES)[:, None] / SAMPLES
    wrong = 3
    world.labels[wrong] = (world.labels[wrong] + 1) % CLASSES
    measuring = Measuring(world.train, world.labels, world.reference, CLASSES, seed=0, frozen=frozen)
    for t in range(len(RATES)):
        measuring.at(t, world.train.activations[t])
    scores = compute(measuring.finish(lambda _share: None), ["frozen_vote"])["frozen_vote"]
    assert int(scores.argmax()) == wrong
