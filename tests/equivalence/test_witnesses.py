"""Evidence by checkpoint equals what slow and obvious code computes."""

import pytest
import torch
from torch import Tensor

from worker.influence.activations import Trace
from worker.signals.witnesses import (
    Witnesses,
    WitnessPool,
    reference_pool,
    strongest_suspects,
    training_pool,
    witnesses,
)

RATES = (0.1, 0.05, 0.02)
CLASSES = 4


def made(samples: int, seed: int) -> tuple[Trace, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    activations = torch.randn(len(RATES), samples, 6, generator=generator)
    logits = torch.randn(len(RATES), samples, CLASSES, generator=generator)
    return Trace(activations, logits, RATES), torch.randint(0, CLASSES, (samples,), generator=generator)


TRAIN, LABELS = made(130, 0)
REFERENCE, REFERENCE_LABELS = made(90, 1)
SUSPECTS = torch.tensor([0, 3, 4, 50, 77, 129])
SUGGESTED = torch.tensor([1, 2, 3, 0, 1, 2])
POOLS = {
    "training": training_pool(TRAIN, LABELS, CLASSES, torch.Generator()),
    "drawn": training_pool(TRAIN, LABELS, CLASSES, torch.Generator().manual_seed(3), limit=40),
    "reference": reference_pool(REFERENCE, REFERENCE_LABELS),
}


def gradient(trace: Trace, labels: Tensor, row: int, t: int) -> Tensor:
    """Of the loss for weight and bias of the last layer, flat, in float64."""
    delta = torch.softmax(trace.logits[t, row].double(), 0)
    delta[labels[row]] -= 1
    return torch.outer(delta, torch.cat([trace.activations[t, row].double(), torch.ones(1).double()])).flatten()


def slow(suspect: int, pool: WitnessPool) -> dict[int, list[float]]:
    """The influence on every witness, by checkpoint."""
    return {
        row: [
            rate * float(gradient(TRAIN, LABELS, suspect, t) @ gradient(pool.trace, pool.labels, row, t))
            for t, rate in enumerate(RATES)
        ]
        for row in pool.rows.tolist()
        if not (pool.own and row == suspect)
    }


@pytest.mark.parametrize("name", list(POOLS))
def test_the_strongest_are_those_of_a_slow_loop(name: str) -> None:
    pool = POOLS[name]
    found = witnesses(TRAIN, LABELS, SUSPECTS, SUGGESTED, pool)
    for place, suspect in enumerate(SUSPECTS.tolist()):
        courses = slow(suspect, pool)
        for side, sign in ((found.supporting, 1), (found.opposing, -1)):
            expected = sorted(courses, key=lambda row: -sign * sum(courses[row]))[:5]
            assert side.rows[place].tolist() == expected
            course = torch.tensor([courses[row] for row in expected])
            torch.testing.assert_close(side.by_checkpoint[place], course, rtol=1e-4, atol=1e-6)
            assert (sign * side.by_checkpoint[place].sum(1) > 0).all()


@pytest.mark.parametrize("name", list(POOLS))
def test_similar_samples_of_the_suggested_class_are_counted_as_in_a_slow_loop(name: str) -> None:
    pool = POOLS[name]
    found = witnesses(TRAIN, LABELS, SUSPECTS, SUGGESTED, pool)
    for place, suspect in enumerate(SUSPECTS.tolist()):
        own = TRAIN.activations[-1, suspect].double()
        courses = slow(suspect, pool)
        cosine = {
            row: float(torch.cosine_similarity(own, pool.trace.activations[-1, row].double(), dim=0))
            for row in courses
            if pool.labels[row] == SUGGESTED[place]
        }
        similar = sorted(cosine, key=lambda row: -cosine[row])[:50]
        assert int(found.looked_at[place]) == len(similar)
        expected = [sum(courses[row][t] < 0 for row in similar) for t in range(len(RATES))]
        assert found.against[place].tolist() == expected


def test_only_the_most_similar_are_looked_at() -> None:
    train, labels = made(500, 5)
    every, given = torch.arange(500), torch.zeros(500, dtype=torch.int64)
    pool = training_pool(train, labels, CLASSES, torch.Generator())
    assert int((labels == 0).sum()) > 100
    found = witnesses(train, labels, every, given, pool)
    assert found.looked_at.eq(50).all()
    features = torch.nn.functional.normalize(train.activations[-1].double())
    cosines = (features @ features.T).fill_diagonal_(-2).masked_fill(labels != 0, -2)
    rows = cosines.topk(50).indices
    for suspect in (0, 123, 499):
        against = sum(
            float(gradient(train, labels, suspect, 2) @ gradient(train, labels, row, 2)) < 0
            for row in rows[suspect].tolist()
        )
        assert int(found.against[suspect, 2]) == against


def test_a_suspect_is_never_its_own_witness() -> None:
    everyone = torch.arange(len(LABELS))
    found = witnesses(TRAIN, LABELS, everyone, LABELS, POOLS["training"])
    for side in (found.supporting, found.opposing):
        assert not (side.rows == everyone[:, None]).any()
    assert torch.equal(found.looked_at, LABELS.bincount()[LABELS] - 1)
    # A row of the same number in a reference of its own is somebody else.
    itself = witnesses(TRAIN, LABELS, everyone, LABELS, reference_pool(TRAIN, LABELS))
    assert (itself.supporting.rows == everyone[:, None]).any()


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_change_nothing(block: int) -> None:
    def all_of(found: Witnesses) -> list[Tensor]:
        sides = (found.supporting, found.opposing)
        return [found.looked_at, found.against, *(x for side in sides for x in (side.rows, side.by_checkpoint))]

    for pool in POOLS.values():
        whole = all_of(witnesses(TRAIN, LABELS, SUSPECTS, SUGGESTED, pool))
        parts = all_of(witnesses(TRAIN, LABELS, SUSPECTS, SUGGESTED, pool, block=block))
        for one, other in zip(whole, parts, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_pool_too_small_leaves_places_empty(size: int) -> None:
    trace, labels = REFERENCE.rows(torch.arange(size)), REFERENCE_LABELS[:size]
    found = witnesses(TRAIN, LABELS, SUSPECTS, SUGGESTED, reference_pool(trace, labels))
    named = (found.supporting.rows >= 0).sum(1) + (found.opposing.rows >= 0).sum(1)
    assert named.tolist() == [size] * len(SUSPECTS)
    for side in (found.supporting, found.opposing):
        assert not side.by_checkpoint[side.rows < 0].any()
    assert found.looked_at.tolist() == [int((labels == label).sum()) for label in SUGGESTED]


def test_a_drawn_pool_has_as_many_of_every_class_as_there_is_room_for() -> None:
    labels = torch.cat([torch.zeros(900, dtype=torch.int64), torch.ones(80, dtype=torch.int64), torch.tensor([2] * 20)])
    trace = Trace(torch.zeros(1, 1000, 2), torch.zeros(1, 1000, 3), (0.1,))
    pool = training_pool(trace, labels, 3, torch.Generator().manual_seed(0), limit=300)
    assert labels[pool.rows].bincount().tolist() == [100, 80, 20]
    again = training_pool(trace, labels, 3, torch.Generator().manual_seed(0), limit=300)
    assert torch.equal(pool.rows, again.rows)
    assert len(training_pool(trace, labels, 3, torch.Generator(), limit=1000).rows) == 1000


def test_flagged_rows_are_suspects_first_then_the_top_of_either_signal() -> None:
    first = torch.tensor([0.9, 0.8, 0.7, 0.1, 0.2, 0.3])
    second = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.8, 0.9])
    nobody = torch.zeros(6, dtype=torch.bool)
    assert strongest_suspects([first, second], nobody, 2).tolist() == [0, 5]
    assert strongest_suspects([first, second], nobody, 4).tolist() == [0, 1, 4, 5]
    flagged = torch.tensor([False, False, False, True, False, False])
    assert strongest_suspects([first, second], flagged, 2).tolist() == [0, 3]
    assert strongest_suspects([first, second], ~flagged, 3).tolist() == [0, 1, 5]
    assert strongest_suspects([first, second], nobody).tolist() == list(range(6))
