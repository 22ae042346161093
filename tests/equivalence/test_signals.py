"""Every signal equals a slow, literal transcription of the formula that `GET /signals` publishes."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from service.domain.signal import SIGNALS
from tests.equivalence.published import LITERAL
from tests.equivalence.traces import World, world
from worker.influence.gradient_sources import LastLayerGradients
from worker.signals.formulas import FORMULAS, NotMeasuredError, compute
from worker.signals.measurements import Answers, Measurements
from worker.signals.reference import Chosen

WORLDS = [
    ("itself", 5),
    ("itself", 8),
    ("split", 5),
    ("trusted", 5),
    ("trusted", 8),
    ("predictions", 1),
    ("trees", 5),
    ("beside", 5),
]


@cache
def made(kind: str, checkpoints: int) -> tuple[World, Measurements]:
    built = world(kind, checkpoints)
    return built, built.measured()


def computed(kind: str) -> list[str]:
    """The signals that such a job has, by the flags of the table."""
    trusted, trained, trees = kind == "trusted", kind != "predictions", kind == "trees"
    return [
        name
        for name, signal in SIGNALS.items()
        if (trusted or not signal.trusted_reference)
        and (trained or not (signal.training or signal.embeddings))
        and not (signal.weights if trees else signal.trees)
    ]


def test_every_signal_has_a_formula_and_a_transcription() -> None:
    assert not SIGNALS.keys() ^ FORMULAS.keys(), "one entry each in FORMULAS of worker/signals/formulas.py"
    assert not SIGNALS.keys() ^ LITERAL.keys(), "one entry each in LITERAL of tests/equivalence/published.py"


@pytest.mark.parametrize(
    ("kind", "checkpoints", "name"),
    [(kind, checkpoints, name) for kind, checkpoints in WORLDS for name in computed(kind)],
)
def test_a_signal_is_what_is_published_of_it(kind: str, checkpoints: int, name: str) -> None:
    built, measurements = made(kind, checkpoints)
    found = compute(measurements, [name])[name].double().numpy()
    expected = np.array(LITERAL[name](built))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=5e-5 * np.abs(expected).max())


def fails(name: str, measurements: Answers) -> bool:
    """Whether the formula reads what was not measured."""
    formula: Callable[..., object] = FORMULAS[name]
    try:
        formula(measurements)
    except (AttributeError, NotMeasuredError, TypeCheckError):
        return True
    return False


@pytest.mark.parametrize("name", SIGNALS)
def test_a_formula_reads_no_more_than_the_flags_of_its_row_say(name: str) -> None:
    _, full = made("trusted", 5)
    _, predicted = made("predictions", 1)
    bare = Answers(labels=predicted.labels, dynamics=predicted.dynamics, unseen=predicted.unseen)
    signal = SIGNALS[name]
    full = replace(full, out_of_bag=torch.full_like(full.dynamics.mean, 0.25))
    assert fails(name, replace(full, trusted=None)) == signal.trusted_reference, "flag trusted_reference"
    assert fails(name, replace(full, embedding_votes=None)) == signal.embeddings, "flag embeddings"
    assert fails(name, replace(full, out_of_bag=None)) == signal.trees, "flag trees"
    as_labelled = replace(full, pairs=replace(full.pairs, relabelled=None))
    assert fails(name, as_labelled) == signal.relabelled, "flag relabelled"
    # What needs no more than answers is one of two: also for predictions, or only for a training.
    assert not (signal.predictions and signal.training)
    assert not (signal.predictions and fails(name, bare)), "flag predictions"
    assert fails(name, bare) or signal.predictions or signal.training, "flag predictions or training"


@pytest.mark.parametrize("kind", ["itself", "split", "trusted"])
def test_chosen_layers_that_are_the_last_one_give_the_same_scores(kind: str) -> None:
    built, measurements = made(kind, 5)
    train, known = (LastLayerGradients(trace) for trace in built.traces)
    chosen = Chosen(train, None if kind == "itself" else known, known)
    before, after = (compute(m, list(SIGNALS)) for m in (measurements, built.measured(chosen)))
    for name, values in before.items():
        assert torch.allclose(values.double(), after[name].double(), rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize(("kind", "checkpoints"), [("itself", 5), ("split", 5), ("trusted", 8)])
def test_signals_are_finite_one_a_sample_and_those_that_the_table_promises(kind: str, checkpoints: int) -> None:
    built, measurements = made(kind, checkpoints)
    scores = compute(measurements, list(SIGNALS))
    assert list(scores) == computed(kind)
    for name, values in scores.items():
        assert values.shape == (built.n,), name
        assert torch.isfinite(values).all(), name


def test_only_datasets_of_embeddings_have_a_vote_of_the_embeddings() -> None:
    built, with_embeddings = made("trusted", 5)
    without = replace(built, frozen=None).measured()
    names = list(SIGNALS)
    missing = compute(with_embeddings, names).keys() - compute(without, names).keys()
    assert missing == {name for name, signal in SIGNALS.items() if signal.embeddings}


@pytest.mark.parametrize(("kind", "checkpoints"), WORLDS)
def test_the_two_answers_lie_between_zero_and_one(kind: str, checkpoints: int) -> None:
    for values in compute(made(kind, checkpoints)[1], ["mislabeled", "anomalous"]).values():
        assert 0 <= float(values.min()) < float(values.max()) <= 1


@pytest.mark.parametrize("kind", ["itself", "trusted"])
def test_scores_do_not_depend_on_the_order_of_the_rows(kind: str) -> None:
    built, measurements = made(kind, 5)
    order = np.random.default_rng(1).permutation(built.n)
    before, after = (compute(m, list(SIGNALS)) for m in (measurements, built.reordered(order).measured()))
    # Exact neighbours at this size; nothing is drawn.
    for name, values in before.items():
        assert torch.allclose(values[torch.from_numpy(order)].double(), after[name].double(), rtol=1e-4, atol=1e-4), (
            name
        )
