"""Agreement of annotators, against plain loops over pairs of votes."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest

from service.annotators import agreement
from service.annotators.agreement import agreement_of

Vote = tuple[int, int, int]  # sample, annotator, label


def drawn(seed: int, people: int = 5, samples: int = 40, classes: int = 4) -> list[Vote]:
    """Votes on samples, one to five on each; the first half of the people know the class of a sample better."""
    random = np.random.default_rng(seed)
    votes = []
    for sample in range(samples):
        for who in sorted(random.permutation(people)[: random.integers(1, people + 1)].tolist()):
            knows = random.random() < (0.9 if who < people // 2 else 0.5)
            votes.append((sample * 3, who, sample % classes if knows else int(random.integers(classes))))
    return votes


def fast(votes: list[Vote], people: int = 5, classes: int = 4) -> Any:
    sample, who, label = (np.array(column) for column in zip(*votes, strict=True))
    return agreement_of(sample, who, label, people, classes)


def others_of(votes: list[Vote], vote: Vote) -> list[int]:
    return [label for sample, who, label in votes if sample == vote[0] and who != vote[1]]


@pytest.mark.parametrize("seed", range(5))
def test_agreement_of_each_is_that_of_a_loop_over_pairs(seed: int) -> None:
    votes = drawn(seed)
    found = fast(votes)
    for person in range(5):
        mine = [vote for vote in votes if vote[1] == person and others_of(votes, vote)]
        shares = [others_of(votes, vote).count(vote[2]) / len(others_of(votes, vote)) for vote in mine]
        own, theirs = defaultdict[int, float](float), defaultdict[int, float](float)
        for vote in mine:
            own[vote[2]] += 1 / len(mine)
            for label in others_of(votes, vote):
                theirs[label] += 1 / len(others_of(votes, vote)) / len(mine)
        by_chance = sum(own[label] * theirs[label] for label in own)
        share = sum(shares) / len(shares)
        assert found.samples[person] == len(mine)
        assert found.share[person] == pytest.approx(share)
        assert found.corrected[person] == pytest.approx((share - by_chance) / (1 - by_chance))


@pytest.mark.parametrize("seed", range(5))
def test_agreement_of_all_is_krippendorffs_alpha(seed: int) -> None:
    votes = drawn(seed)
    shared = [vote for vote in votes if others_of(votes, vote)]
    coincidences = defaultdict[tuple[int, int], float](float)
    for vote in shared:
        for label in others_of(votes, vote):
            coincidences[vote[2], label] += 1 / len(others_of(votes, vote))
    n, by_label = len(shared), Counter(label for _, _, label in shared)
    observed = sum(count for (one, other), count in coincidences.items() if one != other) / n
    expected = sum(by_label[a] * by_label[b] for a in by_label for b in by_label if a != b) / (n * (n - 1))
    found = fast(votes)
    assert found.all_samples == len({sample for sample, _, _ in shared})
    assert found.all_share == pytest.approx(1 - observed)
    assert found.all_corrected == pytest.approx(1 - observed / expected)


def test_single_votes_say_nothing_of_agreement() -> None:
    found = fast([(0, 0, 1), (1, 1, 2), (2, 0, 1)])
    assert (found.all_samples, found.samples.tolist()) == (0, [0] * 5)
    assert np.isnan([found.all_share, found.all_corrected, *found.share, *found.corrected]).all()


def test_where_everybody_names_one_class_chance_gives_all_of_it() -> None:
    found = fast([(sample, who, 2) for sample in range(3) for who in range(2)])
    assert found.share[:2].tolist() == [1.0, 1.0]
    assert np.isnan([*found.corrected, found.all_corrected]).all()


def test_of_very_many_people_the_agreement_is_told_and_chance_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    before = fast(drawn(0))
    monkeypatch.setattr(agreement, "_MOST_PAIRS", 19)
    found = fast(drawn(0))
    assert found.share.tolist() == before.share.tolist()
    assert found.all_corrected == before.all_corrected
    assert np.isnan(found.corrected).all()


def test_two_people_have_one_kappa() -> None:
    # Cohen's example of two raters: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no.
    pairs = [(0, 0)] * 20 + [(0, 1)] * 5 + [(1, 0)] * 10 + [(1, 1)] * 15
    found = fast([(sample, who, pair[who]) for sample, pair in enumerate(pairs) for who in range(2)])
    assert found.corrected[:2].tolist() == pytest.approx([0.4, 0.4])
