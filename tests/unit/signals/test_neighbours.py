"""Neighbour search, votes and support."""

from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from worker.signals import neighbours, votes
from worker.signals.features import principal_features
from worker.signals.neighbours import directions, nearest, vote
from worker.signals.sample_groups import SampleGroups
from worker.signals.support import own_label_support, reference_support


def clustered(samples: int, width: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(20, width, generator=generator)
    return normalize(centres[torch.arange(samples) % 20] + 0.2 * torch.randn(samples, width, generator=generator))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_nearest_are_the_largest_cosines_without_the_row_itself() -> None:
    x = clustered(50)
    cosines, rows = nearest(x, x, 4, seeded(), torch.arange(50))
    every = normalize(x) @ normalize(x).T
    every.fill_diagonal_(-torch.inf)
    assert torch.allclose(cosines, every.topk(4, dim=1).values, atol=1e-6)
    assert not (rows == torch.arange(50)[:, None]).any()


def test_the_search_by_cells_finds_nearly_all_of_the_exact_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    x = clustered(3000)
    _, exact = nearest(x, x, 5, seeded(), torch.arange(3000))
    monkeypatch.setattr(neighbours, "_EXACT", 0)
    cosines, found = nearest(x, x, 5, seeded(), torch.arange(3000))
    hits = sum(len(set(a) & set(b)) for a, b in zip(exact.tolist(), found.tolist(), strict=True))
    assert hits / (3000 * 5) > 0.85
    assert not (found == torch.arange(3000)[:, None]).any()
    assert torch.allclose(cosines, (normalize(x)[:, None] * normalize(x)[found]).sum(2), atol=1e-5)


def test_votes_are_weighted_by_cosine_and_sum_to_one() -> None:
    shares = vote(torch.tensor([[0.9, 0.3, -0.5]]), torch.tensor([[2, 0, 1]]), 3)
    assert torch.allclose(shares, torch.tensor([[0.25, 0.0, 0.75]]), atol=1e-5)
    assert torch.allclose(shares.sum(1), torch.ones(1))


def test_a_small_pool_gives_as_many_neighbours_as_it_has() -> None:
    x = clustered(4)
    cosines, _ = nearest(x, x, 10, seeded(), torch.arange(4))
    assert cosines.shape == (4, 3)


def test_support_is_the_mean_of_the_ten_largest_cosines() -> None:
    x, reference = clustered(7), clustered(33)[3:]
    labels, known = torch.arange(7) % 3, torch.arange(30) % 2
    same, every = reference_support(x, labels, reference, known)
    cosines = normalize(x) @ normalize(reference).T
    assert torch.allclose(every, cosines.topk(10, dim=1).values.mean(1), atol=1e-6)
    for row in range(7):
        own = cosines[row, known == labels[row]]
        expected = own.topk(10).values.mean() if len(own) else torch.tensor(-1.0)
        assert torch.allclose(same[row], expected, atol=1e-6)


def test_own_label_support_is_low_for_the_odd_one_out() -> None:
    x = torch.cat([torch.tensor([[1.0, 0.0]]).repeat(9, 1), torch.tensor([[-1.0, 0.0]]), torch.tensor([[0.0, 1.0]])])
    labels = torch.tensor([0] * 10 + [1])
    support = own_label_support(x, labels, 2, seeded())
    assert support[:9].min() > 0.9
    assert support[9] < 0
    assert support[10] == -1


def test_where_single_precision_finds_no_directions_double_does(monkeypatch: pytest.MonkeyPatch) -> None:
    solve = torch.linalg.eigh

    def lost(matrix: torch.Tensor) -> Any:
        values, vectors = solve(matrix)
        return (values, vectors) if matrix.dtype == torch.float64 else (values, vectors * torch.nan)

    monkeypatch.setattr(torch.linalg, "eigh", lost)
    alike = torch.ones(40, 50)
    assert directions(alike).isfinite().all()
    rows, known = principal_features(alike + torch.eye(40, 50), alike, seeded())
    assert rows.isfinite().all()
    assert known is not None
    assert known.isfinite().all()


def test_directions_keep_the_cosines_of_activations_of_low_rank() -> None:
    generator = torch.Generator().manual_seed(0)
    activations = torch.randn(200, 30, generator=generator) @ torch.randn(30, 150, generator=generator)
    found = directions(activations)
    assert found.shape == (200, 32)
    assert torch.allclose(found @ found.T, normalize(activations) @ normalize(activations).T, atol=1e-4)


@pytest.mark.parametrize("grouped", [False, True])
def test_votes_counted_part_by_part_are_those_counted_at_once(grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = clustered(203), torch.arange(203) % 3
    groups = SampleGroups(torch.arange(203) // 2, torch.zeros(0, dtype=torch.int64)) if grouped else None
    at_once = votes.embedding_votes(x, labels, 3, seeded(), groups)
    monkeypatch.setattr(votes, "_PART", 50)
    assert torch.equal(votes.embedding_votes(x, labels, 3, seeded(), groups), at_once)
