"""Laws that the answers of an audit obey in every single run."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.audit.log import Log, draws_of
from service.audit.martingale import log_capital_against_fewer, log_capital_against_more
from service.audit.measure import Answer, game_of, measure, members_of, parts_of, sizes_of
from tests.unit.audit import transcription
from tests.unit.audit.played_audits import RATES, SCORES, Array, PlayedAudit, members_in, reviewed, scored


def begun(samples: int, rate: float, kind: str, seed: int) -> PlayedAudit:
    random = np.random.default_rng([seed, 1])
    truth = reviewed(samples, rate, random)
    return PlayedAudit(truth, scored(truth, kind, random), seed)


audits = st.builds(
    begun, st.integers(21, 90), st.sampled_from((*RATES, 0.5)), st.sampled_from(SCORES), st.integers(0, 2**32 - 1)
)


def with_one_more(audit: PlayedAudit, row: int) -> Log:
    """The log after this sample is drawn too."""
    log = audit.log
    return Log(np.append(log.row, row), np.append(log.bin, audit.bins[row]), np.append(log.is_drawn, True), log.models)


def capitals(log: Log, answers: Array, wrong: float, is_member: Array | None, bins: Sequence[Array]) -> Array:
    """Logarithm of the capital against more and against fewer than the truth."""
    members = members_in(log, answers, is_member, bins)
    game = game_of(log, draws_of(log, members), answers, 0.0, members)
    capital = (log_capital_against_more, log_capital_against_fewer)
    return np.concatenate([one(game, np.array([wrong])) for one in capital])


def check_fair(audit: PlayedAudit, is_member: Array | None) -> None:
    """Check that bets against the truth have the same capital after the next draw on average, over every draw there may be."""
    members = np.ones(len(audit.truth), bool) if is_member is None else is_member
    wrong = float((audit.truth[members] == Answer.WRONG).sum())
    now = capitals(audit.log, audit.truth, wrong, is_member, audit.rankings)
    after, chances = [], []
    for row in np.flatnonzero(audit.is_left & members).tolist():
        log = with_one_more(audit, row)
        chances.append(draws_of(log, members_in(log, audit.truth, is_member, audit.rankings)).chance[-1])
        after.append(capitals(log, audit.truth, wrong, is_member, audit.rankings))
    if chances:
        assert sum(chances) == pytest.approx(1)
        assert np.array(chances) @ np.exp(np.array(after) - now) == pytest.approx([1, 1], rel=1e-6)


def eventful(audit: PlayedAudit, listed_share: float = 0.3) -> PlayedAudit:
    """Listed, drawn and outside reviews, unsure answers, skipped draws, and a new ranking in the middle."""
    random = audit.random
    for answer in (Answer.UNSURE, Answer.PLAUSIBLE):
        audit.truth[random.random(len(audit.truth)) < 0.1] = answer
    for turn in range(4):
        batch = audit.draw(5, listed_share)
        audit.answer(row for row in batch if random.random() < 0.8)
        audit.review_outside(audit.order[:2])
        audit.fit()
        if turn == 1:
            audit.rank_by(random.normal(size=len(audit.truth)))
    return audit


@given(audits, st.integers(0, 20), st.floats(0, 1))
@settings(max_examples=40)
def test_no_bet_against_the_truth_gains_or_loses_on_average(audit: PlayedAudit, before: int, listed: float) -> None:
    audit.play(before, batch=4, listed_share=listed)
    audit.review_outside(audit.order[-3:])
    check_fair(audit, None)


@given(audits, st.integers(0, 20), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_no_bet_on_a_subset_gains_or_loses_on_average(audit: PlayedAudit, before: int, seed: int) -> None:
    audit.play(before, batch=4)
    audit.review_outside(audit.order[:3])
    check_fair(audit, np.random.default_rng(seed).random(len(audit.truth)) < 0.4)


def test_samples_are_drawn_as_often_as_the_log_says() -> None:
    audit = begun(90, 0.2, "good", 5)
    audit.play(20, listed_share=0.5)
    chance = np.zeros(90)
    for row in np.flatnonzero(audit.is_left).tolist():
        chance[row] = draws_of(with_one_more(audit, row)).chance[-1]
    times, counts = 20_000, np.zeros(90)
    for _ in range(times):
        (row,) = audit.draw(1)
        counts[row] += 1
        for entries in (audit.rows, audit.places, audit.drawn):
            entries.pop()
        audit.is_left[row] = True
    off = (counts - times * chance)[chance > 0] / np.sqrt(times * chance[chance > 0])
    # Chi-square with 69 degrees of freedom: above 119.1 once in 10,000.
    assert float((off**2).sum()) < 119.1
    assert counts[chance == 0].sum() == 0


@given(audits, st.sampled_from([0.0, 0.3, 0.8]), st.sampled_from([0.8, 0.95]))
@settings(max_examples=25)
def test_the_answer_is_that_of_the_formulas_written_out(audit: PlayedAudit, listed: float, level: float) -> None:
    eventful(audit, listed)
    measured = audit.measure(level=level)
    written = transcription.measured(audit, level)
    assert (measured.low, measured.high, measured.at_most) == (written.low, written.high, written.at_most)
    assert measured.estimate == pytest.approx(written.estimate)


@given(audits, st.sampled_from([0.0, 0.5, 0.8]))
@settings(max_examples=40)
def test_an_answer_is_possible_and_becomes_exact(audit: PlayedAudit, listed: float) -> None:
    while audit.is_left.any():
        audit.answer(audit.draw(7, listed))
        audit.fit()
        measured = audit.measure()
        assert measured.found <= measured.low <= measured.high <= measured.found + measured.left
        assert measured.found <= measured.at_most <= measured.found + measured.left
        assert measured.estimate is None or measured.found <= measured.estimate <= measured.found + measured.left
        # No label is found to a billionth.
        assert measured.estimate is None or measured.estimate == round(measured.estimate, 9)
    assert (measured.low, measured.high, measured.at_most) == (audit.wrong,) * 3
    assert measured.estimate in (None, audit.wrong)
    assert measured.recall_at_least == 1
    assert measured.left == 0


@given(audits)
@settings(max_examples=20)
def test_reviews_from_before_the_first_model_count(audit: PlayedAudit) -> None:
    audit.review_outside(audit.random.integers(len(audit.truth), size=9).tolist())
    audit.answers[audit.rows[:1]] = Answer.NONE
    assert audit.measure().reviewed == len(audit.rows) - 1
    del audit.models[0], audit.rankings[0]
    audit.fit()
    assert audit.models[0].first == len(audit.rows)
    audit.play(20)
    check_fair(audit, None)
    written, measured = transcription.measured(audit, 0.95), audit.measure()
    assert (measured.low, measured.high, measured.at_most) == (written.low, written.high, written.at_most)


def test_nothing_is_known_without_an_answer() -> None:
    audit = begun(50, 0.2, "good", 0)
    audit.draw(10)
    measured = audit.measure()
    assert (measured.low, measured.high, measured.at_most, measured.estimate) == (0, 50, 50, None)


@given(audits)
@settings(max_examples=20)
def test_the_same_log_gives_the_same_numbers_to_the_last_bit(audit: PlayedAudit) -> None:
    eventful(audit)
    log = audit.log
    copy = Log(log.row.copy(), log.bin.copy(), log.is_drawn.copy(), list(log.models))
    assert measure(copy, audit.answers.copy(), 0.95) == audit.measure()


@given(audits)
@settings(max_examples=20)
def test_a_set_of_all_samples_has_the_answer_of_the_whole(audit: PlayedAudit) -> None:
    eventful(audit)
    whole = measure(audit.log, audit.answers, 0.95)
    assert audit.measure(np.ones(len(audit.truth), bool)) == whole


@given(audits, st.integers(1, 4), st.data())
@settings(max_examples=20)
def test_parts_counted_at_once_are_counted_as_each_alone(audit: PlayedAudit, count: int, data: st.DataObject) -> None:
    eventful(audit)
    part = np.array(
        data.draw(st.lists(st.integers(0, count - 1), min_size=len(audit.truth), max_size=len(audit.truth)))
    )
    gone = data.draw(st.sets(st.sampled_from(range(len(audit.models)))))
    bins = [None if place in gone else one for place, one in enumerate(audit.rankings)]
    log, answers = audit.log, audit.answers
    sizes = [
        None if one is None else sizes_of(part, count, one, len(model.left))
        for one, model in zip(bins, log.models, strict=True)
    ]
    for place, members in enumerate(parts_of(log, answers, part, bins, sizes, count)):
        alone = members_of(log, answers, np.flatnonzero(part == place), bins)
        assert measure(log, answers, 0.95, members) == measure(log, answers, 0.95, alone)
        assert members.by_answer.sum() == (part == place).sum()


def test_a_set_does_without_draws_by_a_ranking_that_is_gone() -> None:
    audit = begun(80, 0.2, "good", 3)
    audit.play(30)
    audit.rank_by(audit.random.normal(size=80))
    before = len(audit.models) - 1
    audit.play(45)
    is_member = np.arange(80) < 40
    gone = [None] * before + audit.rankings[before:]
    members = members_in(audit.log, audit.answers, is_member, gone)
    some, every = measure(audit.log, audit.answers, 0.95, members), audit.measure(is_member)
    assert some.drawn == sum(is_member[row] for row in audit.rows[30:]) < every.drawn
    assert (some.found, some.reviewed) == (every.found, every.reviewed)


@given(audits, st.data())
@settings(max_examples=25)
def test_missing_answers_are_never_better_than_any_answers(audit: PlayedAudit, data: st.DataObject) -> None:
    audit.play(16, batch=4)
    missing = data.draw(st.lists(st.sampled_from(audit.rows[:-1]), min_size=1, max_size=3, unique=True))
    audit.answers[missing] = Answer.NONE
    unknown = audit.measure()
    for values in itertools.product((Answer.RIGHT, Answer.WRONG), repeat=len(missing)):
        audit.answers[missing] = values
        known = audit.measure()
        assert unknown.low <= known.low
        assert known.high <= unknown.high
        assert known.at_most <= unknown.at_most
    assert known.at_most == unknown.at_most


@given(audits)
@settings(max_examples=25)
def test_draws_without_an_answer_at_the_end_change_nothing(audit: PlayedAudit) -> None:
    audit.play(12, batch=4)
    before = audit.measure()
    audit.draw(4)
    assert audit.measure() == before


@given(audits)
@settings(max_examples=20)
def test_unsure_answers_widen_the_interval_where_they_may_be_either(audit: PlayedAudit) -> None:
    eventful(audit)
    apart = audit.measure()
    either = measure(audit.log, audit.answers, 0.95, unsure_is_unknown=True)
    assert apart.unsure == either.unsure == (audit.answers == Answer.UNSURE).sum()
    assert apart.high <= either.high <= either.found + either.left + either.unsure
    assert either.low <= apart.low
    assert either.at_most >= apart.at_most
    assert (either.reviewed, either.drawn) == (apart.reviewed, apart.drawn)


@pytest.mark.parametrize("seed", [14, 28, 71])
def test_an_unsure_answer_to_the_last_draw_does_not_end_the_bets_before_it(seed: int) -> None:
    audit = eventful(begun(60, 0.05, "noisy", seed))
    answered = [row for row, drawn in zip(audit.rows, audit.drawn, strict=True) if drawn and audit.answers[row] >= 0]
    audit.answers[answered[-1]] = Answer.UNSURE
    apart = audit.measure()
    assert measure(audit.log, audit.answers, 0.95, unsure_is_unknown=True).at_most >= apart.at_most
