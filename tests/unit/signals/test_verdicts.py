"""Flags and types."""

from dataclasses import replace
from unittest import mock

import torch

from worker.influence.activations import Trace
from worker.signals import verdicts
from worker.signals.anomaly import Strangeness
from worker.signals.counts import CountEstimate
from worker.signals.doubts import Doubt
from worker.signals.formulas import compute
from worker.signals.measurements import Measurements, measure_checkpoints
from worker.signals.reference import ReferenceSamples
from worker.signals.trusted import Trusted
from worker.signals.verdicts import decide, rescale_around_cut

CLASSES, SAMPLES, KNOWN, WIDTH = 3, 600, 300, 8


def measured(*, wrong: int, strange: int, known: int = KNOWN, one_sided: bool = False) -> Measurements:
    """Two well separated checkpoints of a clean training set whose first rows are wrong and last rows strange.

    One-sided errors are all of the first class, and take it for the second.
    """
    generator = torch.Generator().manual_seed(0)
    truth = (torch.arange(SAMPLES) % CLASSES).sort().values if one_sided else torch.arange(SAMPLES) % CLASSES
    known_labels = torch.arange(known) % CLASSES

    def inner(labels: torch.Tensor) -> torch.Tensor:
        return torch.eye(CLASSES, WIDTH)[labels] * 4 + 0.5 * torch.randn(len(labels), WIDTH, generator=generator)

    x, reference = inner(truth), inner(known_labels)
    if strange:
        x[-strange:] = 30 * torch.nn.functional.normalize(torch.randn(strange, WIDTH, generator=generator))
    labels = truth.clone()
    labels[:wrong] = (truth[:wrong] + 1) % CLASSES

    def trace(rows: torch.Tensor) -> Trace:
        return Trace(rows.expand(2, -1, -1), rows[:, :CLASSES].expand(2, -1, -1), (0.1, 0.1))

    serving = ReferenceSamples(trace(reference), known_labels, trusted=True)
    return measure_checkpoints(trace(x), labels, serving, CLASSES, 0, lambda _t, _inner: (x, reference))


def decided(m: Measurements) -> tuple[torch.Tensor, torch.Tensor]:
    scores = compute(m, ["mislabeled", "anomalous"])
    found = decide(m, scores["mislabeled"], scores["anomalous"], torch.Generator().manual_seed(0))
    assert found.mislabeled_estimate.count == int(found.mislabeled.sum())
    assert found.anomalous_estimate.count == int(found.anomalous.sum())
    assert not (found.mislabeled & found.anomalous).any()
    return found.mislabeled, found.anomalous


def test_wrong_labels_and_strange_samples_are_told_apart_and_counted() -> None:
    mislabeled, anomalous = decided(measured(wrong=60, strange=40))
    assert mislabeled[:60].float().mean() > 0.8
    assert anomalous[-40:].float().mean() >= 0.9
    assert 50 <= int(mislabeled.sum()) <= 70
    assert 30 <= int(anomalous.sum()) <= 50


def test_errors_that_all_go_one_way_are_counted_too() -> None:
    mislabeled, _ = decided(measured(wrong=90, strange=0, one_sided=True))
    assert 70 <= int(mislabeled.sum()) <= 115
    assert mislabeled[:90].float().mean() > 0.7


def test_clean_data_is_not_flagged() -> None:
    mislabeled, anomalous = decided(measured(wrong=0, strange=0))
    assert not mislabeled.any()
    assert not anomalous.any()


def test_a_small_trusted_reference_ranks_anomalies_and_flags_none() -> None:
    m = measured(wrong=60, strange=40, known=60)
    scores = compute(m, ["anomalous"])["anomalous"]
    assert set(scores.topk(40).indices.tolist()) == set(range(SAMPLES - 40, SAMPLES))
    mislabeled, anomalous = decided(m)
    assert not anomalous.any()
    assert mislabeled[:60].float().mean() > 0.8


def test_without_a_trusted_reference_the_surest_samples_tell_how_many_labels_are_wrong() -> None:
    mislabeled, anomalous = decided(replace(measured(wrong=60, strange=0), trusted=None))
    assert not anomalous.any()
    assert 20 <= int(mislabeled.sum()) <= 100
    assert mislabeled[:60].sum() >= 0.9 * min(60, int(mislabeled.sum()))


def test_where_nothing_can_be_counted_only_what_every_prediction_contradicts_is_flagged() -> None:
    m = replace(measured(wrong=30, strange=0), trusted=None)
    scores = compute(m, ["mislabeled"])["mislabeled"]

    def flags(known: Measurements) -> int:
        with mock.patch.object(
            verdicts, "agreed_error_count", return_value=CountEstimate(200, 0, 250, Doubt("overlap", 250))
        ):
            return int(decide(known, scores, None, torch.Generator()).mislabeled.sum())

    assert flags(m) == int((torch.minimum(m.confusion.scores, m.confusion.held_out) > 2).sum()) > 0
    unsure = replace(m.confusion, held_out=m.confusion.held_out.clamp(max=1.9))
    assert flags(replace(m, confusion=unsure)) == 0


def test_verified_samples_that_are_predicted_worse_than_the_training_samples_count_nothing() -> None:
    m = measured(wrong=0, strange=0)
    assert m.trusted is not None
    harder = m.trusted.guess.roll(1, 0)
    mixed = torch.where(torch.arange(KNOWN)[:, None] % 7 == 0, harder, m.trusted.guess)
    m = replace(m, trusted=replace(m.trusted, guess=mixed))
    scores = compute(m, ["mislabeled"])["mislabeled"]
    found = decide(m, scores, None, torch.Generator().manual_seed(0)).mislabeled_estimate
    assert found.doubt is not None
    assert found.doubt.cause == "unlike_verified"


def test_a_count_by_predictions_that_are_often_wrong_leaves_room_for_errors_that_they_repeat() -> None:
    m = measured(wrong=0, strange=0)
    assert m.trusted is not None
    known = m.trusted.guess.roll(1, 0)[: KNOWN // 3]
    often_wrong = replace(m, trusted=replace(m.trusted, guess=torch.cat([known, m.trusted.guess[KNOWN // 3 :]])))
    counted = CountEstimate(0, 0, 20)
    with (
        mock.patch.object(verdicts, "_wrong_labels", return_value=counted),
        mock.patch.object(verdicts, "_contradicted", return_value=SAMPLES // 3),
    ):
        unsure = decide(often_wrong, m.confusion.scores, None, torch.Generator()).mislabeled_estimate
    with (
        mock.patch.object(verdicts, "_wrong_labels", return_value=CountEstimate(100, 80, 100)),
        mock.patch.object(verdicts, "_contradicted", return_value=SAMPLES * 2 // 5),
    ):
        told = decide(often_wrong, m.confusion.scores, None, torch.Generator()).mislabeled_estimate
    assert unsure.doubt == Doubt("look_alike", unsure.high)
    # A quarter of the wrong predictions, and as many contradicted labels that are right.
    assert SAMPLES * 2 * 0.25 / 3 < unsure.high < SAMPLES * 2 * 0.25 / 3 + 0.06 * SAMPLES * 2
    # So many more labels are contradicted than predictions are wrong, less the chance in the second: as few may be wrong.
    assert often_wrong.trusted is not None
    missed = float((often_wrong.trusted.guess.argmax(1) != often_wrong.trusted.labels).double().mean())
    noise = (missed * (1 - missed) / KNOWN) ** 0.5
    assert (told.low, told.doubt) == (SAMPLES * 2 // 5 - round((missed + noise) * SAMPLES), None)
    assert 0 < told.low < 80


def test_a_count_by_predictions_that_are_never_wrong_keeps_its_interval() -> None:
    m = measured(wrong=60, strange=0)
    found = decide(m, m.confusion.scores, None, torch.Generator().manual_seed(0)).mislabeled_estimate
    assert found.doubt is None
    assert found.high < 100


def test_what_is_called_anomalous_is_not_called_mislabeled_too() -> None:
    m = measured(wrong=60, strange=0)
    assert m.trusted is not None
    first = torch.zeros(3, SAMPLES)
    first[:, :60] = 100.0
    strange = Strangeness(first, torch.randn(3, KNOWN))
    trusted: Trusted = replace(m.trusted, strange=strange)
    mislabeled, anomalous = decided(replace(m, trusted=trusted))
    assert anomalous[:60].float().mean() > 0.8
    assert not mislabeled[:60][anomalous[:60]].any()
    assert int(mislabeled.sum()) <= 10


def test_half_is_the_cut_off_and_the_order_stays() -> None:
    scores = torch.rand(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    order = scores.argsort()
    flagged = torch.zeros(50, dtype=torch.bool)
    flagged[order[-7:]] = True
    for flags in (flagged, torch.zeros_like(flagged), torch.ones_like(flagged)):
        found = rescale_around_cut(scores, flags)
        assert torch.equal(found.argsort(), order)
        assert torch.equal(found >= 0.5, flags)
        assert float(found.min()) >= 0
        assert float(found.max()) <= 1
