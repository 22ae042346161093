"""A sample's group is left out of whatever the sample is compared with."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

from service.domain.signal import SIGNALS
from tests.equivalence.pairs import others, pair_sums
from tests.equivalence.traces import CLASSES, World, world
from worker.influence.gradient_sources import LastLayerGradients
from worker.influence.pair_sums import PairSums
from worker.influence.pairs_counted import PairsCounted, Related
from worker.signals import neighbours
from worker.signals.anomaly import isolation, label_distance, strangeness
from worker.signals.density import influence_density
from worker.signals.formulas import compute
from worker.signals.held_out import begin_held_out_scores
from worker.signals.measurements import Measurements
from worker.signals.neighbours import nearest, nearest_of_others, vote_of_some
from worker.signals.ranks import rank
from worker.signals.sample_groups import SampleGroups
from worker.signals.support import own_label_support, reference_support

KINDS = ["itself", "split", "trusted"]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def in_threes(built: World) -> SampleGroups:
    """Groups of three training samples, each with a reference sample where the reference is another."""
    known = 0 if built.other is None else len(built.other.labels)
    return SampleGroups(torch.arange(built.n) // 3, torch.arange(known) % 100)


def of_one(measured: Measurements, row: int) -> list[Tensor]:
    """What other samples say of a row."""
    votes, pairs = measured.votes, measured.pairs
    assert measured.embedding_votes is not None
    return [
        votes.mean[row],
        votes.own_support[:, row],
        measured.embedding_votes[row],
        measured.position.guess[row],
        *(
            getattr(side, what)[row]
            for side in (pairs.positive, pairs.negative)
            for what in ("amount", "count", "values")
        ),
        *(found[row] for found in others(pairs).values()),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_groups_of_one_sample_each_change_nothing(kind: str) -> None:
    # Embeddings are guessed from only where there are no groups.
    built = replace(world(kind, 5), frozen=None, known_frozen=None)
    known = 0 if built.other is None else len(built.other.labels)
    alone = SampleGroups(torch.arange(built.n), built.n + torch.arange(known))
    # The answer `mislabeled` asks one more signal where there are groups.
    names = [name for name in SIGNALS if name not in ("mislabeled", "frozen_vote")]
    plain, grouped = (compute(built.measured(groups=groups), names) for groups in (None, alone))
    for name, values in plain.items():
        assert torch.allclose(values.double(), grouped[name].double(), rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_asks_the_held_out_guess_too(kind: str) -> None:
    built = world(kind, 5)
    measured = built.measured(groups=in_threes(built))
    weights = {"confusion_margin": 1.0, "held_out_guess": 1.0}
    weights |= {"gc_own": 0.25} if kind == "trusted" else {}
    parts = compute(measured, [*weights, "mislabeled"])
    blend = torch.stack([weight * rank(parts[name]).double() for name, weight in weights.items()]).sum(0)
    blend /= sum(weights.values())
    assert torch.allclose(parts["mislabeled"].double(), blend, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", [0, 7, 20])
def test_what_the_rest_of_the_group_is_labelled_changes_nothing_that_others_say_of_a_sample(
    kind: str, row: int
) -> None:
    built = world(kind, 5)
    groups = in_threes(built)
    labels = built.train.labels.copy()
    mates = [one for one in range(row // 3 * 3, row // 3 * 3 + 3) if one != row]
    labels[mates] = (labels[mates] + 1) % CLASSES
    changed = replace(built, train=replace(built.train, labels=labels))
    before, after = (of_one(one.measured(groups=groups), row) for one in (built, changed))
    for one, other in zip(before, after, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)
    alone = (of_one(one.measured(), row) for one in (built, changed))
    assert not all(torch.allclose(one, other, rtol=1e-3, atol=1e-4) for one, other in zip(*alone, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_the_strongest_samples_are_of_other_groups(kind: str) -> None:
    built = world(kind, 5)
    groups = in_threes(built)
    columns = groups.train if built.other is None else groups.reference
    pairs = built.measured(groups=groups).pairs
    for side in (pairs.positive, pairs.negative):
        there = side.strongest >= 0
        assert there.any()
        assert not (there & (columns[side.strongest.clamp(min=0)] == groups.train[:, None])).any()


def test_drawn_columns_stand_for_all_samples_of_other_groups() -> None:
    # All samples of a class are alike, and every group has two of the first class and one of each other.
    built = world("itself", 5)
    labels = torch.tensor([0, 0, 1, 2, 3]).repeat(6)
    first = torch.tensor([int((torch.from_numpy(built.train.labels) == label).nonzero()[0]) for label in range(4)])
    trace, _ = replace(built, train=built.train.rows(first[labels].numpy())).traces
    groups = torch.arange(30) // 5

    def sums(columns: Tensor, weights: Tensor) -> PairSums:
        source, known = LastLayerGradients(trace), LastLayerGradients(trace.rows(columns))
        own = torch.full((30,), -1)
        own[columns] = torch.arange(len(columns))
        related = Related.in_training_set(groups, columns, labels, CLASSES)
        counted = PairsCounted(weights, own, related)
        return pair_sums(source, labels, known, labels[columns], trace.rates, CLASSES, counted)[0]

    drawn = torch.arange(0, 15)
    whole, some = sums(torch.arange(30), torch.ones(30)), sums(drawn, torch.full((15,), 2.0))
    for side in ("positive", "negative"):
        for what in ("amount", "count"):
            exact, found = (getattr(getattr(one, side), what) for one in (whole, some))
            assert torch.allclose(found, exact, rtol=1e-4, atol=1e-4)
    for what, found in others(some).items():
        assert torch.allclose(found, others(whole)[what], rtol=1e-4, atol=1e-4), what
    assert torch.equal(some.weight, torch.full((30,), 25.0))


def test_neighbours_are_the_nearest_of_other_groups() -> None:
    rows = normalize(torch.randn(60, 5, generator=seeded()))
    groups = torch.arange(60) // 4
    cosines, found = nearest_of_others(rows[:50], rows, 6, seeded(), groups[:50], groups)
    every = (rows[:50] @ rows.T).masked_fill(groups[:50, None] == groups, -torch.inf)
    assert torch.allclose(cosines, every.topk(6, dim=1).values, atol=1e-6)
    assert not (groups[found] == groups[:50, None]).any()


def test_a_group_that_fills_its_cell_has_neighbours_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # Ten sessions of 300 samples that hardly differ: the cells hold nothing else.
    centres = torch.randn(10, 6, generator=seeded())
    rows = normalize(centres.repeat_interleave(300, 0) + 0.01 * torch.randn(3_000, 6, generator=seeded()))
    groups = torch.arange(3_000) // 300
    monkeypatch.setattr(neighbours, "_EXACT", 500)
    cosines, found = nearest_of_others(rows, rows, 10, seeded(), groups, groups)
    assert torch.isfinite(cosines).all()
    assert not (groups[found] == groups[:, None]).any()
    assert all(len(set(row)) == 10 for row in found.tolist())
    assert torch.allclose(cosines, (rows[:, None] * rows[found]).sum(2), atol=1e-5)
    _, plain = nearest(rows, rows, 10, seeded(), torch.arange(3_000))
    assert (groups[plain] == groups[:, None]).float().mean() > 0.99


def test_neighbours_that_are_missing_have_no_vote() -> None:
    cosines = torch.tensor([[0.5, -torch.inf], [-0.5, -torch.inf], [-torch.inf, -torch.inf]])
    shares = vote_of_some(cosines, torch.tensor([[2, 0], [2, 0], [0, 0]]), 3)
    assert torch.allclose(shares, torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1 / 3, 1 / 3, 1 / 3]]))


@pytest.mark.parametrize("most", [1, 2**23])
def test_held_out_guesses_equal_those_of_fits_without_the_group(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr("worker.signals.held_out._NUMBERS", most)
    x, labels = torch.randn(40, 5, generator=seeded()), torch.arange(40) % 3
    x[:, 0] += labels
    known = torch.randn(8, 5, generator=torch.Generator().manual_seed(1))
    groups = SampleGroups(torch.arange(40) % 9, torch.tensor([0, 1, 2, 3, 50, 51, 52, 8]))
    guess, known_guess = begin_held_out_scores(x, labels, 3, known, groups)()()
    assert known_guess is not None
    mean, deviation = x.double().mean(0), x.double().std(0)

    def fits(row: Tensor, number: Tensor) -> list[Tensor]:
        padded = torch.cat([(x.double() - mean) / deviation, torch.ones(40, 1)], 1)
        rest = groups.train != number
        target = one_hot(labels, 3).double()[rest]
        asked = torch.cat([(row.double() - mean) / deviation, torch.ones(1)])
        return [
            (asked @ torch.linalg.solve(padded[rest].T @ padded[rest] + p * 40 * torch.eye(6), padded[rest].T @ target))
            for p in (1e-3, 1e-2, 1e-1, 1.0)
        ]

    every = [*zip(x, groups.train, guess, strict=True), *zip(known, groups.reference, known_guess, strict=True)]
    errors = torch.stack(
        [torch.stack([(one.float() - found).abs().max() for one in fits(row, number)]) for row, number, found in every]
    )
    # One penalty of the four serves all.
    assert errors.amax(0).min() < 1e-4


def test_support_and_distance_ask_the_other_groups_of_the_label() -> None:
    # Four twins far from the other five of their label.
    x = torch.cat([torch.tensor([[1.0, 0.0]]).repeat(4, 1), torch.tensor([[0.0, 1.0]]).repeat(5, 1)])
    labels, groups = torch.zeros(9, dtype=torch.int64), torch.tensor([0, 0, 0, 0, 1, 2, 3, 4, 5])
    assert own_label_support(x, labels, 1, seeded())[:4].min() > 0.7
    assert own_label_support(x, labels, 1, seeded(), groups)[:4].max() < 0.1
    assert label_distance(x, labels, 1, seeded(), groups)[:4].min() > 0.9
    assert label_distance(x, labels, 1, seeded(), groups).argmax() < 4
    assert isolation(x, seeded(), groups).argmax() < 4


def test_a_verified_sample_of_the_group_supports_nothing() -> None:
    x, labels = torch.eye(3), torch.arange(3)
    groups = SampleGroups(torch.arange(3), torch.arange(3))
    assert torch.equal(reference_support(x, labels, x, labels)[0], torch.ones(3))
    assert torch.equal(reference_support(x, labels, x, labels, groups)[0], -torch.ones(3))


def test_a_crowd_of_one_group_is_no_crowd() -> None:
    built = world("trusted", 5)
    known = torch.from_numpy(built.reference.labels)
    crowd = np.concatenate([np.arange(built.n), np.zeros(30, dtype=np.int64)])
    trained = replace(built, train=built.train.rows(crowd))
    (trace, other), labels = trained.traces, torch.from_numpy(trained.train.labels)
    groups = SampleGroups(torch.from_numpy(crowd), 100 + torch.arange(len(known)))
    plain = influence_density(trace, labels, other, known, 0, seeded())
    grouped = influence_density(trace, labels, other, known, 0, seeded(), groups)
    small = influence_density(built.traces[0], labels[: built.n], other, known, 0, seeded())
    assert plain[0] > small[0] + 1
    assert torch.allclose(grouped[0], small[0], atol=1e-4)
    features, reference = torch.from_numpy(trained.train.b[0]).float(), torch.from_numpy(built.reference.b[0]).float()
    crowded, alone = (strangeness(features, reference, seeded(), one).train[1, 0] for one in (None, groups))
    small_crowd = strangeness(features[: built.n], reference, seeded()).train[1, 0]
    assert crowded > alone + 1
    assert torch.allclose(alone, small_crowd, atol=1.0)


def test_a_verified_twin_makes_no_sample_near_unless_the_reference_has_nothing_else() -> None:
    known = torch.randn(40, 4, generator=seeded())
    far = known[:1] + 50
    features = torch.cat([torch.randn(60, 4, generator=torch.Generator().manual_seed(1)), far])
    reference = torch.cat([known, far])
    groups = SampleGroups(torch.arange(61), torch.cat([100 + torch.arange(40), torch.tensor([60])]))
    plain, grouped = (strangeness(features, reference, seeded(), one).train[0, -1] for one in (None, groups))
    assert plain < 0
    assert grouped > 1
    all_of_one = SampleGroups(torch.zeros(61, dtype=torch.int64), torch.zeros(41, dtype=torch.int64))
    found = strangeness(features, reference, seeded(), all_of_one)
    assert torch.isfinite(found.train).all()
    assert torch.isfinite(found.reference).all()


def test_one_group_of_all_samples_leaves_every_signal_finite() -> None:
    for kind in KINDS:
        built = world(kind, 5)
        known = 0 if built.other is None else len(built.other.labels)
        one = SampleGroups(torch.zeros(built.n, dtype=torch.int64), torch.zeros(known, dtype=torch.int64))
        for name, values in compute(built.measured(groups=one), list(SIGNALS)).items():
            assert torch.isfinite(values).all(), (kind, name)
