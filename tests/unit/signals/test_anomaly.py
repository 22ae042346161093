"""Features, strangeness, distances inside a label."""

import pytest
import torch
from torch import Tensor

from worker.signals import anomaly
from worker.signals.anomaly import (
    Strangeness,
    isolation,
    label_distance,
    neighbour_number,
    over_checkpoints,
    strangeness,
    tail_score,
)
from worker.signals.counts import anomaly_count
from worker.signals.features import common_features, principal_features
from worker.signals.held_out import begin_held_out_scores


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def normal(rows: int, width: int = 6, seed: int = 0) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def test_the_reference_is_its_own_unit() -> None:
    found = strangeness(normal(500), normal(400, seed=1), seeded()).reference
    for row in found:
        assert float(row.median()) == pytest.approx(0, abs=1e-2)
        assert float(row.quantile(0.95)) == pytest.approx(1, abs=1e-2)


def test_samples_like_the_reference_are_as_strange_as_the_reference() -> None:
    found = strangeness(normal(2000), normal(600, seed=1), seeded()).train
    for row in found:
        assert abs(float(row.median())) < 0.2
        assert abs(float((row > 1).float().mean()) - 0.05) < 0.03


def test_each_kind_of_anomaly_shows_in_its_own_measure() -> None:
    x = normal(900)
    x[:30] = 20 * torch.nn.functional.normalize(normal(30, seed=2))
    x[30:130] = normal(100, seed=3) * 0.02 + torch.tensor([1.0, 1, 0, 0, 0, 0])
    found = strangeness(x, normal(600, seed=1), seeded()).train
    remote, crowded = found[0].topk(30).indices, found[1].topk(100).indices
    assert set(remote.tolist()) == set(range(30))
    assert (crowded // 130 == 0).float().mean() > 0.9
    # The crowd lies in the middle of the data: remoteness does not see it.
    assert float((found[0][30:130] > 1).float().mean()) < 0.1


def test_few_rows_in_many_dimensions_are_no_remoter_than_a_reference_of_their_kind() -> None:
    train, known = normal(150, 384), normal(150, 384, seed=1)
    features, known_features = common_features(train, known, seeded())
    found = strangeness(features, known_features, seeded())
    assert abs(float(found.train[0].median())) < 0.2
    assert anomaly_count(found.train.amax(0), found.reference.amax(0)).count < 8


def test_one_neighbour_is_not_a_crowd_where_the_reference_has_none() -> None:
    # Reference samples in pairs, so that none has a training row nearer than its twin.
    known = normal(60).repeat(2, 1) + 1e-4 * normal(120, seed=1)
    found = strangeness(normal(100, seed=2), known, seeded())
    assert float(found.reference[1].max()) == 0
    assert float(found.train[1].max()) <= 10


def test_a_checkpoint_that_has_learnt_its_training_samples_is_left_out() -> None:
    first = Strangeness(torch.zeros(3, 50), torch.zeros(3, 20))
    learnt = torch.tensor([0.1, 0.9, 0.1])[:, None]
    last = Strangeness(learnt.expand(3, 50).clone(), torch.ones(3, 20))
    found = over_checkpoints([first, last])
    assert found.train[:, 0].tolist() == pytest.approx([0.05, 0.0, 0.05])
    assert found.reference[:, 0].tolist() == pytest.approx([0.5, 0.0, 0.5])
    assert torch.equal(over_checkpoints([last]).train, last.train)


def test_block_size_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, known = normal(300), normal(40, seed=1)
    whole = strangeness(x, known, seeded())
    monkeypatch.setattr(anomaly, "_BLOCK", 64)
    assert torch.allclose(strangeness(x, known, seeded()).train, whole.train, atol=1e-3)


def test_repeated_samples_are_finite() -> None:
    found = strangeness(torch.ones(50, 4), torch.ones(20, 4), seeded())
    assert torch.isfinite(found.train).all()
    assert torch.isfinite(isolation(torch.ones(50, 4), seeded())).all()
    assert torch.isfinite(isolation(torch.ones(1, 4), seeded())).all()
    assert torch.isfinite(label_distance(torch.ones(50, 4), torch.zeros(50, dtype=torch.int64), 2, seeded())).all()


def test_too_few_reference_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="9 reference rows"):
        strangeness(normal(50), normal(9), seeded())


def test_scores_rise_with_strangeness_and_mean_the_tail_of_the_reference() -> None:
    z = torch.tensor([-3.0, 0.0, 1.0, 10.0, 1e4, 1e6])
    scores = tail_score(z)
    assert (scores.diff() > 0).all()
    assert scores[1:3].tolist() == pytest.approx([0.5, 0.95])
    assert float(scores[-1]) <= 1


def test_what_is_far_from_all_others_is_isolated_and_nine_copies_do_not_hide_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = normal(300)
    x[:9] = torch.full((6,), 4.0)
    x[20] = -9.0
    found = isolation(x, seeded())
    assert set(found.topk(10).indices.tolist()) == {*range(9), 20}
    monkeypatch.setattr(anomaly, "_BLOCK", 64)
    torch.testing.assert_close(isolation(x, seeded()), found, rtol=1e-3, atol=1e-3)
    monkeypatch.setattr(anomaly, "_COLUMNS", 100)
    assert float(isolation(x, seeded())[20]) > 2


def test_the_odd_one_out_is_far_from_its_label() -> None:
    x = normal(200)
    labels = torch.arange(200) % 2
    x[7] += 30
    alone = torch.cat([labels, torch.tensor([2])])
    found = label_distance(torch.cat([x, normal(1, seed=9)]), alone, 3, seeded())
    assert set(found.topk(2).indices.tolist()) == {7, 200}


def test_principal_features_keep_distances_of_data_of_low_rank() -> None:
    x = normal(300, 10) @ normal(10, 80, seed=4)
    known = normal(50, 10, seed=5) @ normal(10, 80, seed=4)
    features, known_features = principal_features(x, known, seeded())
    assert known_features is not None
    assert features.shape == (300, 32)
    assert torch.allclose(torch.cdist(features, known_features), torch.cdist(x, known), rtol=1e-3, atol=1e-2)
    assert torch.allclose(features.mean(0), torch.zeros(32), atol=1e-3)


def test_left_out_guesses_equal_those_of_fits_without_the_sample() -> None:
    x, labels = normal(40, 5), torch.arange(40) % 3
    x[:, 0] += labels
    guess, _ = begin_held_out_scores(x, labels, 3, None)()()
    for row in (0, 7, 39):
        assert torch.allclose(_best_fit_without(x, labels, row, guess[row]), guess[row], atol=1e-3)


def _best_fit_without(x: Tensor, labels: Tensor, row: int, guess: Tensor) -> Tensor:
    """The guess of the penalty, of those tried, that comes nearest: which one was taken is not told."""
    x = x.double()
    x = torch.cat([(x - x.mean(0)) / x.std(0), torch.ones(len(x), 1)], 1)
    rest = torch.arange(len(x)) != row
    target = torch.nn.functional.one_hot(labels, 3).double()
    fits: list[Tensor] = []
    for penalty in (1e-3, 1e-2, 1e-1, 1.0):
        # The penalty stays that of all n samples.
        gram = x[rest].T @ x[rest] + penalty * len(x) * torch.eye(x.shape[1])
        fits.append((x[row] @ torch.linalg.solve(gram, x[rest].T @ target[rest])).float())
    return min(fits, key=lambda fit: float((fit - guess).abs().max()))


def test_known_samples_are_predicted_by_the_training_samples() -> None:
    x, labels = torch.eye(3)[torch.arange(60) % 3] + 0.01 * normal(60, 3), torch.arange(60) % 3
    _, predicted = begin_held_out_scores(x, labels, 3, torch.eye(3))()()
    assert predicted is not None
    assert predicted.argmax(1).tolist() == [0, 1, 2]


def test_the_nearest_neighbour_that_counts_is_a_hundredth_of_the_reference_between_one_and_five() -> None:
    assert [neighbour_number(size) for size in (10, 199, 200, 399, 500, 10_000)] == [1, 1, 2, 3, 5, 5]
