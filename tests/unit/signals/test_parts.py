"""Groups that stand apart, partitions, summaries."""

import re
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from service.domain.errors import Invalid
from service.domain.holdout import held_out
from service.domain.label_part import part_number
from service.domain.specs import Reference
from worker.data.partition import draw_columns, partition
from worker.signals.groups import groups, parts_of_members
from worker.signals.summaries import detection, ranking, summarise


def test_scores_that_differ_by_rounding_alone_have_a_histogram_too() -> None:
    for low in (0.0, 1.0, -3e7):
        scores = torch.full((9,), low, dtype=torch.float64)
        scores[4] = torch.nextafter(scores[4], torch.tensor(1e9, dtype=torch.float64))
        found = summarise({"a": scores}, [None] * 9)["a"]["histogram"]
        assert (sum(found["counts"]), len(found["edges"])) == (9, 41)
        assert found["edges"] == sorted(set(found["edges"]))


def test_a_cluster_hidden_inside_a_label_is_the_first_group() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 6, generator=generator) * 0.2 + torch.eye(6)[torch.arange(300) % 3]
    labels = torch.arange(300) % 3
    hidden = torch.tensor([row for row in range(300) if labels[row] == 1][:20])
    x[hidden] = torch.randn(20, 6, generator=generator) * 0.2 - 2 * torch.eye(6)[5]
    first = groups(x, labels, 3, generator)[0]
    assert first.label == 1
    assert set(first.rows) == set(hidden.tolist())
    assert len(first.members) == 20
    assert first.gap > 0.86
    # The most typical come first: those nearest to the mean of the group.
    distances = (x[first.members] - x[first.members].mean(0)).norm(dim=1)
    assert (distances.diff() >= -1e-5).all()


def test_the_tighter_half_is_the_group_however_large_it_is() -> None:
    generator = torch.Generator().manual_seed(0)
    honest, copied = torch.randn(60, 5, generator=generator), 0.05 * torch.randn(90, 5, generator=generator) + 6
    (only,) = groups(torch.cat([honest, copied]), torch.zeros(150, dtype=torch.int64), 1, generator)
    assert sorted(only.members.tolist()) == list(range(60, 150))


def test_one_of_both_parts_is_the_planted_near_cluster_and_leans_to_the_label_it_was_drawn_near() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 4
    x = 0.3 * torch.randn(400, 6, generator=generator) + 3 * torch.eye(6)[labels]
    planted = (labels == 1).nonzero().squeeze(1)[:30]
    x[planted] = 0.3 * torch.randn(30, 6, generator=generator) + 2.5 * torch.eye(6)[2]
    (found,) = [group for group in groups(x, labels, 4, generator) if group.label == 1]
    both = torch.cat([found.members, found.rest])
    assert sorted(both.tolist()) == (labels == 1).nonzero().squeeze(1).tolist()
    parts = [(found.members, found.lean), (found.rest, found.rest_lean)]
    purity, lean = max(
        ((torch.isin(part, planted).float().mean().item(), lean) for part, lean in parts), key=lambda p: p[0]
    )
    assert purity > 0.8
    assert lean is not None
    assert lean.label == 2
    assert lean.share > 0.8
    # The innocent part lies beside no other label more than beside the others.
    _, other = min(
        ((torch.isin(part, planted).float().mean().item(), lean) for part, lean in parts), key=lambda p: p[0]
    )
    assert other is not None
    assert other.share < 0.7


def test_the_rest_of_its_own_label_counts_against_a_lean_and_a_frequent_label_is_not_near_for_being_frequent() -> None:
    generator = torch.Generator().manual_seed(0)
    # Label 0 in two parts, one beside the rare label 1; the frequent label 2 is a little further away from it.
    places = torch.tensor([[0.0, 0.0], [4.0, 0.0], [5.0, 0.0], [7.0, 0.0]])
    where = torch.arange(4).repeat_interleave(torch.tensor([60, 60, 12, 4_000]))
    labels = torch.tensor([0, 0, 1, 2])[where]
    x = places[where] + 0.2 * torch.randn(len(where), 2, generator=generator)
    (found,) = [one for one in groups(x, labels, 3, generator) if one.label == 0]
    by_place = {
        int(where[rows[0]]): lean for rows, lean in ((found.members, found.lean), (found.rest, found.rest_lean))
    }
    near, alone = by_place[1], by_place[0]
    assert near is not None
    assert (near.label, near.share) == (1, 1)
    assert alone is None


def test_every_sample_is_in_the_part_that_the_group_says() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 3, generator=generator)
    labels = (torch.arange(200) > 2).long()  # label 0 is too small to be split
    found = groups(x, labels, 2, generator)
    parts = parts_of_members(found, 200)
    (only,) = found
    assert parts.bincount().tolist() == [3, len(only.members), len(only.rest)]
    assert (parts[only.members] == part_number("tighter")).all()
    assert (parts[only.rest] == part_number("looser")).all()


def test_a_single_label_leans_nowhere() -> None:
    generator = torch.Generator().manual_seed(0)
    (only,) = groups(torch.randn(50, 3, generator=generator), torch.zeros(50, dtype=torch.int64), 1, generator)
    assert (only.lean, only.rest_lean) == (None, None)


def test_one_heap_has_the_gap_of_a_normal_one() -> None:
    generator = torch.Generator().manual_seed(0)
    (only,) = groups(torch.randn(2000, 3, generator=generator), torch.zeros(2000, dtype=torch.int64), 1, generator)
    assert only.gap == pytest.approx(2 / torch.pi, abs=0.03)


def test_identical_samples_make_no_group() -> None:
    assert groups(torch.ones(30, 4), torch.zeros(30, dtype=torch.int64), 2, torch.Generator().manual_seed(0)) == []


IDS = [f"row-{row}" for row in range(20)]
LABELS = torch.arange(20) % 2
SPLITS = ["train"] * 15 + ["test"] * 5


def test_a_split_reference_is_not_trained_on() -> None:
    part = partition(IDS, SPLITS, LABELS, Reference(split="test"), 0)
    assert part.train.tolist() == list(range(15))
    assert part.reference.tolist() == list(range(15, 20))


def test_other_splits_are_neither_trained_on_nor_reference() -> None:
    part = partition(IDS, SPLITS, LABELS, None, 0)
    assert part.train.tolist() == list(range(15))
    assert len(part.reference) == 0


def test_a_holdout_takes_its_share_of_every_class_and_the_same_rows_for_the_same_seed() -> None:
    part = partition(IDS, ["train"] * 20, LABELS, Reference(holdout=0.3), 7)
    assert Counter(LABELS[part.reference].tolist()) == {0: 3, 1: 3}
    assert sorted([*part.train.tolist(), *part.reference.tolist()]) == list(range(20))
    assert torch.equal(partition(IDS, ["train"] * 20, LABELS, Reference(holdout=0.3), 7).reference, part.reference)


@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=5),
    share=st.floats(0.001, 0.999),
    is_grouped=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_holdout_is_refused_where_it_would_be_empty_with_a_share_that_is_not(
    sizes: list[int], share: float, is_grouped: bool
) -> None:
    labels = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    names = [str(row) for row in range(len(labels))]
    splits, groups = ["train"] * len(labels), torch.arange(len(labels)) if is_grouped else None
    if any(held_out(share, size) > 0 for size in sizes):
        assert len(partition(names, splits, labels, Reference(holdout=share), 0, groups).reference)
        return
    with pytest.raises(Invalid, match=r"^reference\.holdout: ") as caught:
        partition(names, splits, labels, Reference(holdout=share), 0, groups)
    named = re.search(r"From (\S+) on", caught.value.detail)
    assert (named is None) == (max(sizes) == 1)
    if named is not None:
        assert len(partition(names, splits, labels, Reference(holdout=float(named[1])), 0).reference)


def test_verified_samples_become_the_reference_wherever_they_are() -> None:
    part = partition(IDS, SPLITS, LABELS, Reference(samples=["row-17", "row-3", "row-3"]), 0)
    assert part.reference.tolist() == [3, 17]
    assert 3 not in part.train.tolist()
    with pytest.raises(Invalid) as caught:
        partition(IDS, SPLITS, LABELS, Reference(samples=["row-99"]), 0)
    assert caught.value.errors[0].loc == ["reference", "samples"]


def test_a_training_part_with_one_class_is_refused() -> None:
    with pytest.raises(Invalid, match="fewer than two classes"):
        partition(IDS, SPLITS, LABELS, Reference(samples=[f"row-{row}" for row in range(0, 20, 2)]), 0)


def test_columns_are_all_rows_when_few_and_else_stand_for_their_class() -> None:
    few = draw_columns(torch.arange(1999) % 3, 100, 0)
    assert few.rows.tolist() == list(range(1999))
    assert (few.weights == 1).all()
    labels = torch.tensor([0] * 2700 + [1] * 294 + [2] * 6)
    assert len(draw_columns(labels, 3000, 0).rows) == 3000
    some = draw_columns(labels, 100, 0)
    counts = Counter(labels[some.rows].tolist())
    assert counts == {0: 90, 1: 10, 2: 2}
    for label, size in ((0, 2700), (1, 294), (2, 6)):
        assert some.weights[labels[some.rows] == label].sum() == pytest.approx(size)


def test_detection_counts_hits_among_the_top_of_the_planted_count() -> None:
    planted = np.array([True, True, False, False, False])
    found = detection(np.array([0.9, 0.1, 0.5, 0.2, 0.0]), planted)
    assert (found["precision"], found["recall"], found["f1"], found["planted"]) == (0.5, 0.5, 0.5, 2)
    assert found["authors_f1"] == pytest.approx(2 * 1 / (3 + 2))
    assert found["average_precision"] == pytest.approx((1 + 2 / 4) / 2)
    assert found["auroc"] == pytest.approx(4 / 6)


@settings(max_examples=50, deadline=None)
@given(samples=st.integers(3, 60), values=st.integers(1, 9), seed=st.integers(0, 999))
def test_detection_agrees_with_scikit_learn_however_many_scores_are_the_same(
    samples: int, values: int, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    scores, planted = draw.integers(0, values, samples).astype(float), draw.random(samples) < 0.4
    planted[:2] = True, False
    found = detection(scores, planted)
    assert found["average_precision"] == pytest.approx(average_precision_score(planted, scores))
    assert found["auroc"] == pytest.approx(roc_auc_score(planted, scores))


def test_a_summary_tells_distribution_kinship_and_detection() -> None:
    scores = torch.arange(100.0)
    constant = torch.ones(100)
    found = summarise({"a": scores, "b": -scores, "c": constant}, [None] * 90 + ["duplicate"] * 10)
    assert sum(found["a"]["histogram"]["counts"]) == 100
    assert found["a"]["quantiles"]["0.5"] == pytest.approx(49.5)
    assert found["a"]["correlations"] == {"b": pytest.approx(-1.0)}
    assert found["c"]["correlations"] == {}
    assert found["a"]["detection"]["f1"] == 1.0
    assert summarise({"a": scores}, [None] * 100)["a"]["detection"] is None


def test_each_planted_kind_is_judged_without_the_others_and_signals_are_ranked_for_it() -> None:
    scores = torch.arange(100.0)
    kinds = [None] * 80 + ["duplicate"] * 10 + ["mislabeled_pair"] * 10
    found = summarise({"up": scores, "down": -scores}, kinds)
    assert found["up"]["detection_by_kind"]["duplicate"]["f1"] == 1.0
    assert found["up"]["detection_by_kind"]["mislabeled_pair"]["planted"] == 10
    assert found["up"]["detection"]["planted"] == 20
    assert ranking(found) == {kind: ["up", "down"] for kind in ("all", "duplicate", "mislabeled_pair")}
    assert ranking(summarise({"up": scores}, [None] * 100)) == {}


def test_the_authors_flag_one_row_more_than_were_planted() -> None:
    found = detection(np.array([0.9, 0.3, 0.5]), np.array([True, True, False]))
    assert found["f1"] == 0.5
    assert found["authors_f1"] == pytest.approx(2 * 2 / (2 * 2 + 1))
