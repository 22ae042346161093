"""When a number of wrong labels can be told from none."""

import pytest
import torch
from torch import Tensor

from worker.signals.counts import CountEstimate, agreed_error_count
from worker.signals.doubts import Doubt, doubt_with_verified

CLASSES = 4


def table(samples: int, *, wrong: str = "", rate: float = 0.1, overlap: float = 0.0) -> tuple[Tensor, Tensor]:
    """Two independent predictions without errors of their own, but on samples of overlapping classes; and labels."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(samples) % CLASSES
    labels, chosen = truth.clone(), torch.rand(samples, generator=generator) < rate
    match wrong:
        case "uniform":
            other = truth + torch.randint(1, CLASSES, (samples,), generator=generator)
            labels = torch.where(chosen, other % CLASSES, truth)
        case "pair":
            labels = torch.where(chosen, truth ^ 1, truth)
        case "overlap":  # wrong where classes overlap, as errors of people are
            labels = torch.where(torch.arange(samples) % 100 < 100 * rate, (truth + 1) % CLASSES, truth)
    score = torch.eye(CLASSES)[truth]
    # In their overlap two classes look alike: the predictions are unsure, and say the next class as often as the true one.
    share = torch.arange(samples) % 100
    between = (share < 100 * overlap)[:, None]
    halves = (torch.eye(CLASSES)[truth] + torch.eye(CLASSES)[(truth + 1) % CLASSES]) / 2
    score = torch.where(between, halves, score)
    noise = 0.1 * torch.randn(2, samples, CLASSES, generator=generator)
    return score + noise, labels


def told(guesses: Tensor, labels: Tensor) -> CountEstimate:
    return agreed_error_count(list(guesses), labels)


def test_clean_labels_of_classes_apart_are_told_to_be_clean() -> None:
    found = told(*table(4000))
    assert (found.count, found.doubt) == (0, None)


@pytest.mark.parametrize("wrong", ["uniform", "pair"])
@pytest.mark.parametrize("overlap", [0.0, 0.2])
def test_errors_among_sure_predictions_are_told_also_beside_overlap(wrong: str, overlap: float) -> None:
    guesses, labels = table(4000, wrong=wrong, overlap=overlap)
    found = told(guesses, labels)
    planted = int((labels != torch.arange(4000) % CLASSES).sum())
    assert found.doubt is None
    assert found.low <= planted <= found.high


@pytest.mark.parametrize("wrong", ["", "overlap"])
def test_none_wrong_cannot_be_told_from_errors_inside_an_overlap(wrong: str) -> None:
    guesses, labels = table(4000, wrong=wrong, overlap=0.2)
    found = told(guesses, labels)
    contradicted = min(int((guess.argmax(1) != labels).sum()) for guess in guesses)
    assert found.doubt == Doubt("overlap", contradicted)
    # What may be wrong is about what cannot be excluded.
    assert found.doubt.at_most >= 0.9 * int((labels != torch.arange(4000) % CLASSES).sum())


def test_a_little_overlap_leaves_no_doubt() -> None:
    assert told(*table(4000, overlap=0.06)).doubt is None


def test_a_rate_that_falls_steeply_among_the_surest_may_be_none() -> None:
    truth, rows = torch.arange(4000) % CLASSES, torch.arange(4000)
    sure = torch.eye(CLASSES)[truth]
    # Of the 400 surest 5 % are contradicted, of the next 10 %, then 15 %: with overlap it may have begun at none.
    rising = (rows < 1200) & (rows % 20 <= rows // 400)
    rising |= (rows >= 1200) & (rows % 20 < 4)
    found = told(torch.stack([sure, sure]), torch.where(rising, (truth + 1) % CLASSES, truth))
    assert found.doubt is not None
    flat = rows % 10 == 0
    assert told(torch.stack([sure, sure]), torch.where(flat, (truth + 1) % CLASSES, truth)).doubt is None


def test_a_model_that_learnt_nothing_can_tell_nothing_however_few_it_contradicts() -> None:
    samples = 4000
    labels = (torch.arange(samples) % 25 == 0).long()  # 96 % of one class
    nothing = torch.tensor([0.9, 0.1]).expand(samples, 2) + 0.01 * torch.randn(samples, 2)
    found = told(torch.stack([nothing, nothing]), labels)
    assert found.doubt is not None
    assert found.doubt.cause == "learnt_little"
    knows = torch.eye(2)[labels] + 0.01 * torch.randn(samples, 2)
    assert told(torch.stack([knows, knows]), labels).doubt is None


@pytest.mark.parametrize(("samples", "cause"), [(60, "few_samples"), (400, None)])
def test_few_samples_cannot_show_that_none_is_wrong(samples: int, cause: str | None) -> None:
    found = told(*table(samples))
    assert (found.doubt and found.doubt.cause) == cause


@pytest.mark.parametrize(
    ("low", "high", "doubted"), [(0, 51, True), (9, 51, True), (10, 500, False), (0, 50, False), (0, 0, False)]
)
def test_verified_samples_leave_doubt_where_the_interval_goes_from_none_to_many(
    low: int, high: int, doubted: bool
) -> None:
    assert (doubt_with_verified(low, high, 1000) is not None) == doubted
