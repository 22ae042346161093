"""Labels beside what out-of-sample probabilities say of them."""

import math

import pytest
import torch
from torch import Tensor

from worker.signals.confident import assigned_classes, label_issue_count, odds_of_error

CLASSES = 4


def made(rows: int = 500, classes: int = CLASSES) -> tuple[Tensor, Tensor]:
    """Probabilities that fit most labels; every fifth sample of class 0 is labelled 1."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, classes, (rows,), generator=generator)
    probable = torch.softmax(3 * torch.eye(classes)[truth] + torch.randn(rows, classes, generator=generator), 1)
    labels = truth.clone()
    labels[(truth == 0).nonzero().squeeze(1)[::5]] = 1
    return probable, labels


def slow(probable: Tensor, labels: Tensor) -> list[int | None]:
    usual = [float(probable[labels == label, label].mean()) for label in range(CLASSES)]
    found: list[int | None] = []
    for row in probable.tolist():
        there = [place for place in range(CLASSES) if row[place] >= usual[place]]
        found.append(None if not there else there[0] if len(there) == 1 else max(range(CLASSES), key=row.__getitem__))
    return found


def test_who_is_believed_is_that_of_slow_and_obvious_code() -> None:
    probable, labels = made()
    expected = slow(probable, labels)
    assert None in expected
    assert assigned_classes(probable, labels).tolist() == [-1 if one is None else one for one in expected]
    likeliest = probable.argmax(1).tolist()
    wrong = [
        one not in (None, label) and best != label
        for one, label, best in zip(expected, labels.tolist(), likeliest, strict=True)
    ]
    assert label_issue_count(probable, labels) == sum(wrong) > 10


def test_of_several_classes_that_reach_their_mean_the_most_probable_is_taken() -> None:
    probable = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.3, 0.6], [0.0, 0.1, 0.9], [0.3, 0.4, 0.3]])
    # Means of the samples with the label: 0.25, 0.3 and 0.9. The last sample reaches the first two.
    assert assigned_classes(probable, torch.tensor([0, 1, 2, 0])).tolist() == [1, 1, 2, 1]


def test_the_odds_are_those_of_slow_and_obvious_code() -> None:
    probable, labels = made()
    counts = [[0] * CLASSES for _ in range(CLASSES)]
    for one, label in zip(slow(probable, labels), labels.tolist(), strict=True):
        if one is not None and one != label:
            counts[one][label] += 1
    expected = []
    for row, label in zip(probable.tolist(), labels.tolist(), strict=True):
        wrong = 0.0
        for other in range(CLASSES):
            if other != label:
                often = (counts[other][label] + 1) / (sum(counts[other]) + CLASSES - 1)
                wrong += (often + 1 / (CLASSES - 1)) / 2 * row[other]
        expected.append(math.log(wrong / row[label]))
    assert torch.allclose(odds_of_error(probable, labels), torch.tensor(expected), atol=1e-5)


def test_of_two_classes_the_odds_have_the_order_of_the_probabilities() -> None:
    probable, labels = made(classes=2)
    own, other = (probable.gather(1, one[:, None]).squeeze(1) for one in (labels, 1 - labels))
    assert torch.allclose(odds_of_error(probable, labels), (other / own).log(), atol=1e-5)


def test_a_frequent_confusion_makes_an_error_more_likely() -> None:
    probable, labels = made()
    pair = torch.tensor([[0.45, 0.45, 0.05, 0.05], [0.05, 0.45, 0.45, 0.05]])
    odds = odds_of_error(torch.cat([probable, pair]), torch.cat([labels, torch.tensor([1, 1])]))[-2:]
    assert float(odds[0]) > float(odds[1]) + 0.3


def test_a_class_that_no_sample_carries_is_believed_of_none() -> None:
    probable = torch.tensor([[0.1, 0.2, 0.7], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.3, 0.6, 0.1]])
    labels = torch.tensor([0, 1, 0, 1])
    assert label_issue_count(probable, labels) == 0
    assert torch.isfinite(odds_of_error(probable, labels)).all()


@pytest.mark.parametrize("certain", [torch.eye(3), torch.full((3, 3), 1 / 3)])
def test_certain_and_empty_probabilities_have_finite_odds(certain: Tensor) -> None:
    assert torch.isfinite(odds_of_error(certain.repeat(4, 1), torch.arange(12) % 3)).all()
    assert torch.isfinite(odds_of_error(certain.repeat(4, 1), (torch.arange(12) + 1) % 3)).all()
