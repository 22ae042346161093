"""The cut-offs and suggestions."""

import torch

from worker.signals.verdicts import (
    benjamini_hochberg,
    confident_joint_size,
    p_values,
    suggest,
    with_trusted_reference,
    without_trusted_reference,
)


def test_the_confident_joint_counts_samples_confidently_of_another_class() -> None:
    # Mean own probability: class 0 -> (.9 + .8 + .1) / 3 = .6, class 1 -> (.7 + .9) / 2 = .8.
    probabilities = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.1, 0.9]])
    assert confident_joint_size(probabilities, torch.tensor([0, 0, 0, 1, 1])) == 1


def test_a_class_without_samples_attracts_nobody() -> None:
    probabilities = torch.tensor([[0.5, 0.1, 0.4], [0.1, 0.5, 0.4]])
    assert confident_joint_size(probabilities, torch.tensor([0, 1])) == 0


def test_without_a_trusted_reference_the_most_suspicious_are_flagged_and_nothing_is_anomalous() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1])
    belief = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.1, 0.9]])
    scores = torch.tensor([0.2, 0.3, 0.9, 0.5, 0.1])
    found = without_trusted_reference(scores, belief, belief, belief, labels)
    assert found.mislabeled.tolist() == [False, False, True, False, False]
    assert not found.anomalous.any()
    assert (found.mislabeled_estimate.low, found.mislabeled_estimate.high) == (1, 1)


def test_the_bounds_of_the_estimate_span_what_each_source_counts() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1])
    agrees = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9]])
    differs = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.1, 0.9]])
    estimate = without_trusted_reference(torch.rand(5), agrees, differs, agrees, labels).mislabeled_estimate
    assert estimate.low == 0
    assert estimate.high == 1
    assert estimate.low <= estimate.count <= estimate.high


def test_p_values_count_reference_rows_supported_no_better() -> None:
    reference = torch.tensor([0.2, 0.4, 0.6, 0.8])
    assert p_values(torch.tensor([0.1, 0.4, 0.9]), reference).tolist() == [1 / 5, 3 / 5, 1.0]


def test_benjamini_hochberg_flags_up_to_the_last_value_under_its_line() -> None:
    # Bounds at q = .2 and n = 5: .04 .08 .12 .16 .20; the third value passes and takes the second with it.
    p = torch.tensor([0.5, 0.01, 0.09, 0.11, 0.9], dtype=torch.float64)
    assert benjamini_hochberg(p, 0.2).tolist() == [False, True, True, True, False]
    assert not benjamini_hochberg(torch.tensor([0.5, 0.9], dtype=torch.float64), 0.2).any()


def test_clean_data_is_flagged_rarely_and_strange_data_always() -> None:
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(500, generator=generator) * 0.2 + 0.8
    clean = torch.rand(1000, generator=generator) * 0.2 + 0.8
    strange = torch.rand(100, generator=generator) * 0.2
    support = torch.cat([clean, strange])
    margin = torch.cat([torch.ones(1000), torch.full((50,), 2.0), torch.full((50,), -2.0)])
    found = with_trusted_reference(support, torch.ones(1100), reference, reference, margin)
    flagged = found.mislabeled | found.anomalous
    assert flagged[1000:].all()
    assert flagged[:1000].float().mean() < 0.05
    assert found.anomalous[1000:1050].all()
    assert found.mislabeled[1050:].all()
    assert not (found.mislabeled & found.anomalous).any()


def test_a_mislabeled_sample_is_never_given_its_own_label_back() -> None:
    early = torch.tensor([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1]])
    labels = torch.tensor([0, 0])
    suggested, confidence = suggest(early, early, labels, torch.tensor([True, False]))
    assert suggested.tolist() == [1, 0]
    assert torch.allclose(confidence, torch.tensor([0.3, 0.6]))
