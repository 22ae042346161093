"""What is proposed for verification covers every label, best first."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from worker.signals.candidates import cover, verification_candidates


def spread(samples: int, width: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(samples, width, generator=torch.Generator().manual_seed(seed))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@given(st.integers(1, 60), st.integers(0, 10_000))
def test_every_row_adds_the_most_coverage_that_any_could(samples: int, seed: int) -> None:
    features = normalize(spread(samples, 4, seed))
    order, _ = cover(features, samples)
    assert sorted(order.tolist()) == list(range(samples))
    cosines = (features @ features.T).double()
    covered = torch.zeros(samples).double()
    taken = torch.zeros(samples, dtype=torch.bool)
    for row in order.tolist():
        gains = (cosines - covered).clamp(min=0).sum(1)
        assert float(gains[row]) >= float(gains[~taken].max()) - 1e-4
        covered = torch.maximum(covered, cosines[row])
        taken[row] = True


def test_the_count_is_of_other_rows_nearer_to_it_than_to_all_before() -> None:
    features = normalize(spread(40))
    order, closer = cover(features, 40)
    cosines = features @ features.T
    assert int(closer[0]) == 39
    for place, row in enumerate(order.tolist()[1:], 1):
        before = cosines[order[:place]].amax(0)
        before[row] = 2
        assert int(closer[place]) == int((cosines[row] > before).sum())


def test_twins_of_a_proposal_come_last_and_stand_for_nobody() -> None:
    features = normalize(spread(9)).repeat(2, 1)
    order, closer = cover(features, 18)
    assert {row % 9 for row in order[:9].tolist()} == set(range(9))
    assert closer[9:].tolist() == [0] * 9


@pytest.mark.parametrize("limit", [1, 7, 50, 119])
def test_a_shorter_list_is_the_beginning_of_a_longer_one(limit: int) -> None:
    x, labels = spread(120, 40), torch.arange(120) ** 2 % 7 % 4
    whole = verification_candidates(x, labels, 4, seeded())
    assert sorted(one.row for one in whole) == list(range(120))
    assert verification_candidates(x, labels, 4, seeded(), limit) == whole[:limit]


def test_labels_take_turns_until_they_run_out() -> None:
    sizes = [5, 1, 0, 3]
    labels = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes))
    found = verification_candidates(spread(9), labels, 4, seeded())
    assert [int(labels[one.row]) for one in found] == [0, 1, 3, 0, 3, 0, 3, 0, 0]
    assert [one.turn for one in found] == [0, 0, 0, 1, 1, 2, 2, 3, 4]
    assert [one.among for one in found] == [sizes[int(labels[one.row])] - 1 for one in found]
    assert (found[1].closer, found[1].among) == (0, 0)


def test_clusters_of_a_label_are_each_proposed_before_any_twice() -> None:
    centres = torch.eye(8)[torch.arange(80) % 8]
    x = centres * 5 + 0.1 * spread(80, 8)
    found = verification_candidates(x, torch.zeros(80, dtype=torch.int64), 1, seeded())
    assert {one.row % 8 for one in found[:8]} == set(range(8))
    assert found[7].closer == 9


def test_a_large_label_is_looked_at_in_part_and_the_list_ends() -> None:
    labels = torch.cat([torch.zeros(1500, dtype=torch.int64), torch.ones(30, dtype=torch.int64)])
    found = verification_candidates(spread(1530), labels, 2, seeded())
    assert len({one.row for one in found}) == len(found) == 500
    assert {one.among for one in found} == {499, 29}
    assert sum(one.among == 29 for one in found) == 30
