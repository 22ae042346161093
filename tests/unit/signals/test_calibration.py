"""Probabilities of flagged samples, brought to what was measured on other jobs."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.signals.test_verdicts import measured
from worker.signals.calibration import Calibration, calibration_of
from worker.signals.confusions import ConfusionMargin
from worker.signals.counts import CountEstimate
from worker.signals.doubts import Doubt
from worker.signals.suggestions import suggest

TOLD = CountEstimate(60, 40, 80)
OFFSETS = st.floats(-6, 6)
PROBABILITIES = st.lists(st.floats(0, 1), min_size=2, max_size=40)


@given(offset=OFFSETS, values=PROBABILITIES, flagged=st.integers(0, 40))
def test_it_rises_with_the_probability_and_keeps_what_is_flagged_above_the_rest(
    offset: float, values: list[float], flagged: int
) -> None:
    raw = np.sort(np.array(values))[::-1].copy()
    flags = np.arange(len(raw)) < flagged
    changed = Calibration(offset).wrong(raw, flags)
    assert ((changed >= 0) & (changed <= 1)).all()
    assert (np.diff(changed) <= 1e-12).all()
    equal = np.diff(raw) == 0
    assert (np.diff(changed)[equal] == 0).all()
    # What is not flagged gets no surer: nothing was measured there.
    assert (changed[raw < raw[flags].min(initial=0.0)] <= raw[raw < raw[flags].min(initial=0.0)] + 1e-12).all()
    suits = Calibration(offset).suits(raw)
    assert ((suits >= 0) & (suits <= 1)).all()
    assert (np.diff(suits) <= 1e-12).all()


@given(offset=OFFSETS, values=PROBABILITIES)
def test_without_flags_or_offset_nothing_changes(offset: float, values: list[float]) -> None:
    raw = np.array(values)
    nobody, all_of_them = np.zeros(len(raw), bool), np.ones(len(raw), bool)
    assert np.array_equal(Calibration(offset).wrong(raw, nobody), raw)
    assert np.array_equal(Calibration(None).wrong(raw, all_of_them), raw)


def test_the_more_labels_unseen_predictions_contradict_the_less_sure_is_a_flag() -> None:
    m = replace(measured(wrong=60, strange=0), trusted=None)
    offsets = []
    for contradicted in (6, 60, 180):
        odds = torch.full_like(m.confusion.held_out, -1.0)
        odds[:contradicted] = 1.0
        one = replace(m, confusion=ConfusionMargin(m.confusion.scores, odds, 0.0))
        found = calibration_of(one, TOLD, recalibrated=False)
        assert found is not None
        assert found.offset is not None
        offsets.append(found.offset)
    assert offsets == sorted(offsets, reverse=True)
    assert len(set(offsets)) == 3


def test_errors_in_one_direction_make_a_flag_surer() -> None:
    m = replace(measured(wrong=60, strange=0), trusted=None)
    both, one = (
        calibration_of(replace(m, confusion=replace(m.confusion, directed=directed)), TOLD, recalibrated=False)
        for directed in (0.0, 1.0)
    )
    assert both is not None
    assert one is not None
    assert (one.offset or 0) > (both.offset or 0)


def test_with_trees_beside_the_network_probabilities_of_wrong_labels_stay_as_they_are() -> None:
    m = replace(measured(wrong=60, strange=0), trusted=None)
    assert calibration_of(replace(m, by_trees=torch.softmax(m.votes.mean, 1)), TOLD, recalibrated=False) == Calibration(
        None
    )
    assert calibration_of(m, TOLD, recalibrated=False) != Calibration(None)


def test_only_jobs_like_those_that_were_measured_are_calibrated() -> None:
    m = replace(measured(wrong=60, strange=0), trusted=None)
    assert calibration_of(m, TOLD, recalibrated=False) is not None
    assert calibration_of(m, replace(TOLD, doubt=Doubt("overlap", 90)), recalibrated=False) is None
    assert calibration_of(measured(wrong=60, strange=0), TOLD, recalibrated=False) is None
    # Reviews tell already how likely labels are wrong.
    assert calibration_of(m, TOLD, recalibrated=True) == Calibration(None)


def test_calibration_changes_neither_the_suggestion_nor_the_order_of_the_probabilities() -> None:
    generator = torch.Generator().manual_seed(0)
    belief = torch.softmax(3 * torch.randn(400, 4, generator=generator), 1)
    labels = torch.randint(4, (400,), generator=generator)
    scores = 1 - belief.gather(1, labels[:, None]).squeeze(1)
    flags = torch.zeros(400, dtype=torch.bool)
    flags[scores.topk(60).indices] = True
    plain, changed = (
        suggest(belief, belief, labels, flags, scores, 60, calibration=one) for one in (None, Calibration(-1.0))
    )
    assert torch.equal(plain[0], changed[0])
    order = plain[2].argsort(stable=True)
    assert bool((changed[2][order].diff() >= 0).all())
    assert not torch.equal(plain[2], changed[2])
