"""Whose labels are doubted more often than chance explains, against an exact table and over many seeds."""

from fractions import Fraction
from itertools import product
from math import comb
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from service.annotators import excess
from service.annotators.excess import Excess, excess_of

Array = npt.NDArray[Any]
RATES = np.array([0.02, 0.05, 0.1, 0.25])  # of doubts, by class
PEOPLE = 12


def labelled(seed: int, votes: int, careless: float) -> tuple[Array, Array, Array, Array]:
    """Sample, annotator, class and doubt of votes on 1,200 samples, as many on each; person 0 errs more often by `careless`.

    Two teams have different samples; their members have easy and hard ones alike.
    """
    random = np.random.default_rng(seed)
    classes = random.integers(len(RATES), size=1_200)
    doubted = random.random(len(classes)) < RATES[classes]
    team = random.integers(2, size=len(classes)) * (PEOPLE // 2)
    members = np.stack([random.permutation(PEOPLE // 2)[:votes] for _ in classes])
    who = (members + team[:, None]).ravel()
    sample = np.repeat(np.arange(len(classes)), votes)
    erred = (who == 0) & (random.random(len(who)) < careless)
    return sample, who, classes[sample], doubted[sample] | erred


def rated(seed: int, votes: int, careless: float = 0.0) -> Excess:
    return excess_of(*labelled(seed, votes, careless), PEOPLE, len(RATES))


@pytest.mark.parametrize("votes", [1, 3])
def test_people_who_err_alike_are_rarely_set_apart(votes: int) -> None:
    accused = [bool((rated(seed, votes).chance <= 0.05).any()) for seed in range(200)]
    assert sum(accused) <= 17  # a twentieth is allowed; more than this would come by chance once in a hundred times


@pytest.mark.parametrize("votes", [1, 3])
def test_a_careless_person_is_set_apart_and_nobody_else(votes: int) -> None:
    found = [rated(seed, votes, 0.25).chance <= 0.05 for seed in range(40)]
    assert sum(bool(one[0]) for one in found) >= 36
    assert sum(bool(one[1:].any()) for one in found) <= 4


def test_who_is_given_the_hard_samples_is_compared_on_hard_samples() -> None:
    accused = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        classes = random.integers(2, size=2_000)
        # Persons 0 and 1 have nine tenths of the hard class, 2 and 3 of the easy one.
        hard = (classes == 1) ^ (random.random(len(classes)) < 0.1)
        who = random.integers(2, size=len(classes)) + np.where(hard, 0, 2)
        doubted = random.random(len(classes)) < np.where(classes == 1, 0.3, 0.02)
        sample = np.arange(len(classes))
        accused += bool((excess_of(sample, who, classes, doubted, 4, 2).chance <= 0.05).any())
        assert (excess_of(sample, who, np.zeros_like(classes), doubted, 4, 1).chance[:2] <= 0.05).all()
    assert accused <= 5


def test_many_votes_on_few_samples_are_no_more_evidence_than_the_samples() -> None:
    # Person 0 labels 1,000 samples alone, six others label the same 120: what is doubted of one is doubted of all.
    sample = np.concatenate([np.arange(1_000), 1_000 + np.repeat(np.arange(120), 6)])
    who = np.concatenate([np.zeros(1_000, int), np.tile(np.arange(1, 7), 120)])
    accused = 0
    for seed in range(200):
        doubted = (np.random.default_rng(seed).random(1_120) < 0.2)[sample]
        accused += bool(excess_of(sample, who, np.zeros_like(who), doubted, 7, 1).chance[0] <= 0.05)
    assert accused <= 8


def test_who_labels_a_class_alone_is_compared_with_nobody() -> None:
    who, classes = np.array([0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 1, 1])
    doubted = np.array([True, True, True, False, False, False, True])
    found = excess_of(np.arange(7), who, classes, doubted, 3, 2)
    assert np.isnan(found.others_share[0])
    assert found.chance[0] == 1
    assert found.others_share[1:].tolist() == [0.5, 0.0]


def slow_chance(tables: list[list[int]]) -> float:
    """P(at least as many doubts as found) over classes of (labels, doubts, drawn, found), by all ways to draw them."""
    found, total = sum(table[3] for table in tables), Fraction(0)
    for counts in product(*(range(drawn + 1) for _, _, drawn, _ in tables)):
        if sum(counts) >= found:
            ways = Fraction(1)
            for (labels, doubts, drawn, _), count in zip(tables, counts, strict=True):
                ways *= Fraction(comb(doubts, count) * comb(labels - doubts, drawn - count), comb(labels, drawn))
            total += ways
    return float(total)


def test_the_probability_is_that_of_every_way_to_share_the_doubts_out() -> None:
    random = np.random.default_rng(1)
    who, classes = random.integers(3, size=60), random.integers(3, size=60)
    doubted = random.random(60) < np.where(who == 0, 0.7, 0.2)
    found = excess_of(np.arange(60), who, classes, doubted, 3, 3)
    raw = []
    for person in range(3):
        mine, tables = who == person, []
        for one in range(3):
            own, of_class = mine & (classes == one), classes == one
            tables.append([int(part.sum()) for part in (of_class, of_class & doubted, own, own & doubted)])
        raw.append(slow_chance(tables))
    assert raw[0] < 0.05
    assert found.chance[0] == pytest.approx(min(1.0, min(raw) * 3))


def test_large_numbers_are_as_good_as_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    who, classes = random.integers(2, size=20_000), random.integers(3, size=20_000)
    doubted = random.random(20_000) < np.where(who == 0, 0.12, 0.1)
    votes = (np.arange(20_000), who, classes, doubted, 2, 3)
    normal = excess_of(*votes).chance[0]
    monkeypatch.setattr(excess, "_EXACT_DEVIATION", np.inf)
    exact = excess_of(*votes).chance[0]
    assert exact < normal < 1.5 * exact < 0.05
