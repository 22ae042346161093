"""A reference of training samples: each is compared with the others, and not with itself."""

import torch
from torch import Tensor

from worker.influence.activations import Trace
from worker.signals.anomaly import strangeness
from worker.signals.density import influence_density
from worker.signals.reference import ReferenceSamples
from worker.signals.sample_groups import SampleGroups
from worker.signals.support import reference_support
from worker.signals.votes import checkpoint_votes

N, M, C, D = 60, 14, 3, 5


def scene() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, labels, logits, and the rows that are verified."""
    draw = torch.Generator().manual_seed(3)
    x, labels = torch.randn(N, D, generator=draw), torch.randint(C, (N,), generator=draw)
    return x, labels, torch.randn(1, N, C, generator=draw), torch.randperm(N, generator=draw)[:M].sort().values


def own_of(rows: Tensor) -> Tensor:
    own = torch.full((N,), -1)
    own[rows] = torch.arange(M)
    return own


def test_support_and_density_are_those_by_the_other_verified_samples() -> None:
    x, labels, logits, rows = scene()
    trace, own = Trace(x[None], logits, (0.1,)), own_of(rows)
    same, every = reference_support(x, labels, x[rows], labels[rows], own=own)
    dense = influence_density(trace, labels, trace.rows(rows), labels[rows], 0, torch.Generator(), own=own)
    for row in [*rows[:3].tolist(), int((own < 0).nonzero()[0])]:
        others = rows[rows != row]
        one_same, one_every = reference_support(x, labels, x[others], labels[others])
        one_dense = influence_density(trace, labels, trace.rows(others), labels[others], 0, torch.Generator())
        torch.testing.assert_close((same[row], every[row]), (one_same[row], one_every[row]))
        torch.testing.assert_close(dense[row], one_dense[row])


def test_strangeness_leaves_a_sample_out_as_its_group_would_be_left_out() -> None:
    x, _, _, rows = scene()
    numbers = torch.arange(N)
    by_group = strangeness(x, x[rows], torch.Generator().manual_seed(1), SampleGroups(numbers, numbers[rows]))
    by_row = strangeness(x, x[rows], torch.Generator().manual_seed(1), training_rows=rows)
    torch.testing.assert_close(by_row.train, by_group.train)
    torch.testing.assert_close(by_row.reference, by_group.reference)
    itself = strangeness(x, x[rows], torch.Generator().manual_seed(1))
    assert (by_row.train[0, rows] > itself.train[0, rows]).all()


def test_a_verified_sample_votes_once_and_for_what_people_said() -> None:
    x, labels, logits, rows = scene()
    trace, said = Trace(x[None], logits, (0.1,)), (labels[rows] + 1) % C
    verified = ReferenceSamples(trace.rows(rows), said, trusted=True, training_rows=rows)
    corrected = labels.clone()
    corrected[rows] = said
    assert torch.equal(verified.corrected(labels), corrected)
    found = checkpoint_votes(x, labels, verified, C, 0, torch.Generator().manual_seed(0))
    plain = ReferenceSamples(trace, corrected, columns=torch.arange(N))
    wanted = checkpoint_votes(x, corrected, plain, C, 0, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.votes, wanted.votes)


def test_own_columns_are_those_of_the_samples_that_are_verified() -> None:
    x, labels, logits, rows = scene()
    trace = Trace(x[None], logits, (0.1,))
    mixed = torch.where(torch.arange(M) % 2 == 0, rows, -1)
    own = ReferenceSamples(trace.rows(rows), labels[rows], training_rows=mixed).own_columns(N)
    assert own is not None
    assert own[rows[::2]].tolist() == list(range(0, M, 2))
    assert int((own >= 0).sum()) == len(rows[::2])
    assert ReferenceSamples(trace, labels).own_columns(N) is None
