"""How many samples are wrong."""

import pytest
import torch
from torch import Tensor

from worker.signals.counts import CountEstimate, agreed_error_count, anomaly_count, estimate, wrong_label_count
from worker.signals.margin import margin


def normal(rows: int, seed: int) -> Tensor:
    return torch.randn(rows, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("planted", [100, 300])
def test_the_excess_counts_what_is_stranger_than_the_reference(planted: int) -> None:
    found = anomaly_count(torch.cat([normal(3000 - planted, 0), normal(planted, 1) + 9]), normal(600, 2))
    assert abs(found.count - planted) <= 0.25 * planted
    assert found.low <= planted <= found.high


def test_samples_of_the_reference_have_no_excess() -> None:
    assert [anomaly_count(normal(3000, 3 * seed), normal(600, 3 * seed + 1)).count for seed in range(10)] == [0] * 10


@pytest.mark.parametrize(("beyond", "counted"), [(57, False), (58, True)])
def test_an_excess_counts_from_four_deviations_on(beyond: int, counted: bool) -> None:
    # Of 3,000, 15 are expected beyond the third of 600; the deviation is 10, and two samples are spare: 15 + 40 + 2.
    strangest = torch.cat([torch.full((3000 - beyond,), -1.0), torch.full((beyond,), 1e4)])
    assert (anomaly_count(strangest, torch.arange(600.0)).count > 0) == counted


def test_a_few_outliers_of_the_reference_do_not_hide_an_excess() -> None:
    reference = normal(600, 2)
    reference[:4] = 100.0
    assert 225 <= anomaly_count(torch.cat([normal(2700, 0), normal(300, 1) + 9]), reference).count <= 375


def test_chance_in_the_common_part_is_not_taken_for_anomalies() -> None:
    reference = normal(600, 2)
    common = float(reference.quantile(0.95))
    strangest = torch.cat([normal(2770, 0), torch.full((80,), common), normal(150, 1) + 9])
    found = anomaly_count(strangest, reference)
    assert abs(found.count - 150) <= 0.25 * 150
    # The other threshold's opinion is told.
    assert found.high > 200


@pytest.mark.parametrize("shift", [0.6, 3.0])
def test_training_samples_that_are_all_stranger_than_the_verified_ones_are_not_counted(shift: float) -> None:
    found = anomaly_count(normal(1000, 0) + shift, normal(300, 1))
    assert found.count == 0
    assert found.doubt is not None
    assert found.doubt.cause == "all_unlike_verified"
    assert found.high == found.doubt.at_most > 250


@pytest.mark.parametrize("planted", [0, 30, 300])
def test_some_anomalies_do_not_make_all_samples_unlike_the_verified_ones(planted: int) -> None:
    for known in (150, 600):
        strangest = torch.cat([normal(1000 - planted, 0), normal(planted, 1) + 4])
        assert anomaly_count(strangest, normal(known, 2)).doubt is None


@pytest.mark.parametrize("wrong", [150, 300, 900])
def test_the_share_of_wrong_labels_is_that_of_the_mixture(wrong: int) -> None:
    given = torch.cat([normal(3000 - wrong, 0) + 1.5, normal(wrong, 1) - 1.5])
    generator = torch.Generator().manual_seed(0)
    found = wrong_label_count(given, normal(600, 2) + 1.5, normal(1200, 3) - 1.5, generator)
    assert abs(found.count - wrong) <= 0.2 * wrong
    assert found.low <= wrong <= found.high


def test_right_labels_alone_count_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    assert wrong_label_count(normal(3000, 0) + 1.5, normal(600, 2) + 1.5, normal(1200, 3) - 1.5, generator).count == 0


def guesses(labels: Tensor, noise: float, seed: int) -> Tensor:
    return torch.eye(4)[labels] + noise * torch.randn(len(labels), 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("wrong", [200, 600])
def test_what_sure_guesses_contradict_is_counted(wrong: int) -> None:
    truth = torch.arange(4000) % 4
    labels = truth.clone()
    labels[torch.randperm(4000, generator=torch.Generator().manual_seed(0))[:wrong]] += 1
    labels %= 4
    found = agreed_error_count([guesses(truth, 0.4, 1), guesses(truth, 0.4, 2)], labels)
    assert abs(found.count - wrong) <= 0.25 * wrong
    assert found.low <= wrong <= found.high


def test_unsure_guesses_alone_count_nothing() -> None:
    truth = torch.arange(4000) % 4
    # Two independent guesses that are wrong on every fourth sample, and sure of none of those.
    assert agreed_error_count([guesses(truth, 0.4, 1), guesses(truth, 0.4, 2)], truth).count == 0


def test_guesses_that_hardly_know_the_classes_leave_open_whether_anything_is_wrong() -> None:
    truth = torch.arange(4000) % 4
    labels = torch.where(torch.arange(4000) % 10 == 0, (truth + 1) % 4, truth)
    assert agreed_error_count([guesses(truth, 0.4, 1), guesses(truth, 0.4, 2)], labels).low > 0
    unsure = agreed_error_count([guesses(truth, 0.68, 1), guesses(truth, 0.68, 2)], labels)
    assert unsure.low == 0
    assert unsure.count > 0
    hopeless = agreed_error_count([guesses(truth, 1.0, 1), guesses(truth, 1.0, 2)], labels)
    assert (hopeless.count, hopeless.low) == (0, 0)
    assert hopeless.high > 400


def test_the_lead_is_over_the_best_other_class() -> None:
    guess = torch.tensor([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]])
    assert torch.allclose(margin(guess, torch.tensor([0, 1])), torch.tensor([0.2, -0.5]))


REFERENCE = torch.arange(600.0)


def beyond(far: int, near: int = 0) -> Tensor:
    """Of 3,000 samples: some beyond the whole reference, some between its 8 % and its 4 % largest, the rest below all."""
    return torch.cat([torch.full((far,), 1e4), torch.full((near,), 560.0), torch.full((3000 - far - near,), -1.0)])


def test_the_interval_of_an_excess_is_two_deviations_on_each_side() -> None:
    # 15 are expected beyond the third largest, with a deviation of 10.
    found = anomaly_count(beyond(500), REFERENCE)
    assert (found.count, found.low, found.high) == (485, 465, 505)


@pytest.mark.parametrize(("near", "count", "high"), [(320, 85, 215), (340, 200, 270)])
def test_the_most_precise_threshold_counts_unless_another_finds_three_deviations_more(
    near: int, count: int, high: int
) -> None:
    # Beyond 8 % of the reference 240 are expected, with a deviation of 35; the other counts 100 - 15.
    found = anomaly_count(beyond(100, near), REFERENCE)
    assert (found.count, found.high) == (count, high)


def sure(labels: Tensor) -> Tensor:
    """Equally sure of every label, so that the surest are the first rows."""
    return torch.eye(4)[labels]


@pytest.mark.parametrize(("every", "count"), [(80, 0), (40, 100)])
def test_fewer_than_two_in_a_hundred_agreed_errors_count_as_none(every: int, count: int) -> None:
    truth = torch.arange(4000) % 4
    labels = torch.where(torch.arange(4000) % every == 0, (truth + 1) % 4, truth)
    assert agreed_error_count([sure(truth), sure(truth)], labels).count == count


def test_the_rate_is_that_of_the_surest_fifth_and_its_trend_widens_the_interval() -> None:
    truth, rows = torch.arange(4000) % 4, torch.arange(4000)
    # Of the first 400 rows 10 % are wrong, of the next 20 %, then 30 %.
    wrong = (rows < 1200) & (rows % 10 <= rows // 400)
    found = agreed_error_count([sure(truth), sure(truth)], torch.where(wrong, (truth + 1) % 4, truth))
    noise = 2 * (0.15 * 0.85 / 800) ** 0.5
    assert found.count == 600
    assert (found.low, found.high) == (round((0.05 - noise) * 4000), round((0.2 + noise) * 4000))


@pytest.mark.parametrize(("hundredths", "least"), [(26, True), (28, False)])
def test_where_more_than_27_in_a_hundred_are_predicted_otherwise_none_may_be_wrong(
    hundredths: int, least: bool
) -> None:
    truth = torch.arange(4000) % 4
    labels = torch.where(torch.arange(4000) % 100 < hundredths, (truth + 1) % 4, truth)
    assert (agreed_error_count([sure(truth), sure(truth)], labels).low > 0) == least


def test_samples_on_which_the_guesses_disagree_are_not_sure() -> None:
    labels, rows = torch.arange(4000) % 4, torch.arange(4000)
    other = torch.where(rows < 400, (labels + 1) % 4, labels)
    assert agreed_error_count([sure(other), sure(labels)], labels).count == 0


def test_an_estimate_is_whole_inside_the_samples_and_its_interval_in_order() -> None:
    assert estimate(5.4, 9.0, 2.0, 100) == CountEstimate(5, 2, 9)
    assert estimate(-1.0, -3.0, 200.0, 100) == CountEstimate(0, 0, 100)
    assert estimate(7.0, 8.0, 9.0, 100) == CountEstimate(7, 7, 9)


def of_hard_classes(rate: int) -> tuple[Tensor, Tensor, Tensor]:
    """Guesses that are surest of two classes; of the other two every so many labels are wrong."""
    truth = torch.arange(4000) % 4
    labels = torch.where((truth < 2) & (torch.arange(4000) // 4 % rate == 0), truth + 2, truth)
    scale = torch.where(truth < 2, 1.0, 5.0)[:, None]
    return scale * guesses(truth, 0.1, 1), scale * guesses(truth, 0.1, 2), labels


def test_errors_of_the_classes_that_guesses_are_least_sure_of_are_counted() -> None:
    first, second, labels = of_hard_classes(5)
    found = agreed_error_count([first, second], labels)
    assert found.doubt is None
    assert found.low <= 400 <= found.high
    assert abs(found.count - 400) <= 100
    # Such a count was half or twice the truth on development sets.
    assert (found.low, found.high) == (round(found.count / 2), found.count * 2)


def test_few_errors_of_the_least_sure_classes_are_left_to_doubt() -> None:
    # Overlapping classes contradict as many of their surest samples without any error.
    first, second, labels = of_hard_classes(20)
    found = agreed_error_count([first, second], labels)
    assert found.count == 0
