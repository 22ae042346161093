"""Checkpoints are read in order, and progress is the share that is done."""

import pytest
import torch
from torch import Tensor

from worker.influence.activations import Trace
from worker.signals.dynamics import early_checkpoints, late_checkpoints
from worker.signals.formulas import NotFinite, compute
from worker.signals.held_out import begin_held_out_scores
from worker.signals.measurements import Measurements, measure_checkpoints
from worker.signals.reference import ReferenceSamples

SAMPLES, KNOWN, CLASSES, COUNT = 21, 13, 3, 4


def random_trace(rows: int, width: int = 5) -> Trace:
    generator = torch.Generator().manual_seed(rows)
    activations = torch.randn(COUNT, rows, width, generator=generator)
    return Trace(activations, torch.randn(COUNT, rows, CLASSES, generator=generator), (0.1,) * COUNT)


class Watched:
    """A measuring whose reads and progress are written down."""

    def __init__(self, *, trusted: bool, embeddings: Tensor | None = None) -> None:
        self.reads: list[tuple[int, bool]] = []
        self.progress: list[float] = []
        train, known = random_trace(SAMPLES), random_trace(KNOWN)

        def read(t: int, inner: bool) -> tuple[Tensor | None, Tensor | None]:
            self.reads.append((t, inner))
            return (train.activations[t], known.activations[t]) if inner else (None, None)

        self.found: Measurements = measure_checkpoints(
            train,
            torch.arange(SAMPLES) % CLASSES,
            ReferenceSamples(known, torch.arange(KNOWN) % CLASSES, trusted=trusted),
            CLASSES,
            3,
            read,
            embeddings=embeddings,
            on_progress=self.progress.append,
        )


@pytest.mark.parametrize("trusted", [False, True])
def test_each_checkpoint_is_read_once_in_order_and_the_inner_input_only_where_it_is_used(trusted: bool) -> None:
    assert Watched(trusted=trusted).reads == [(0, True), (1, False), (2, False), (3, trusted)]


@pytest.mark.parametrize("trusted", [False, True])
def test_progress_never_falls_and_tells_of_each_checkpoint_and_of_the_pairs(trusted: bool) -> None:
    shares = Watched(trusted=trusted).progress
    assert shares == sorted(shares)
    assert shares[0] > 0
    assert shares[-1] == 1
    assert len(set(shares)) == COUNT + 2 + 2 * trusted  # each checkpoint and comparison, the pairs, the rest


def test_no_measurement_depends_on_what_else_is_measured() -> None:
    with_, without = Watched(trusted=False, embeddings=torch.eye(SAMPLES)).found, Watched(trusted=False).found
    verified = Watched(trusted=True).found
    for other in (with_, verified):
        assert torch.equal(other.position.label_distance, without.position.label_distance)
        assert torch.equal(other.votes.own_support, without.votes.own_support)
        assert torch.equal(other.influence.by_class, without.influence.by_class)


def test_the_held_out_guess_is_made_from_embeddings_where_there_are_some() -> None:
    embeddings = torch.randn(SAMPLES, 4, generator=torch.Generator().manual_seed(1))
    with_, without = Watched(trusted=False, embeddings=embeddings).found, Watched(trusted=False).found
    expected, _ = begin_held_out_scores(embeddings, torch.arange(SAMPLES) % CLASSES, CLASSES, None)()()
    assert torch.equal(with_.position.guess, expected)
    assert torch.equal(Watched(trusted=True).found.position.guess, without.position.guess)
    assert not torch.equal(with_.position.guess, without.position.guess)


def test_embeddings_of_verified_samples_must_come_with_those_of_the_training_samples() -> None:
    with pytest.raises(ValueError, match="without those of the reference"):
        Watched(trusted=True, embeddings=torch.eye(SAMPLES))


def test_the_inner_input_must_come_when_it_is_asked_for() -> None:
    trace, labels = random_trace(SAMPLES), torch.arange(SAMPLES) % CLASSES
    reference = ReferenceSamples(random_trace(KNOWN), torch.arange(KNOWN) % CLASSES)
    with pytest.raises(ValueError, match="without the input of the layer before the last"):
        measure_checkpoints(trace, labels, reference, CLASSES, 0, lambda _t, _inner: (None, None))


def test_early_is_half_of_the_checkpoints_between_two_and_five_and_late_those_after_two_thirds() -> None:
    counts = [1, 2, 3, 5, 6, 8, 10, 12, 30]
    assert [early_checkpoints(count) for count in counts] == [1, 2, 2, 2, 3, 4, 5, 5, 5]
    assert [late_checkpoints(count) for count in counts] == [1, 1, 1, 2, 2, 3, 4, 4, 10]


def test_a_score_that_is_not_a_number_is_an_error_with_its_signal_and_count() -> None:
    measured = Watched(trusted=False).found
    measured.dynamics.loss[0, 4] = torch.nan
    with pytest.raises(NotFinite, match=f"signal loss is not finite for 1 of {SAMPLES} samples"):
        compute(measured, ["aum", "loss"])
