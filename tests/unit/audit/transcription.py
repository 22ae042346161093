"""The formulas of an audit written out: loops over draws, samples and totals, in plain numbers. Slow.

Independent of service.audit but for the models in the log: probability and weight of each bin.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from service.audit.measure import Answer

if TYPE_CHECKING:
    from tests.unit.audit.played_audits import PlayedAudit

UP = {0.02: 0.05, 0.05: 0.05, 0.1: 0.05, 0.2: 0.05, 0.35: 0.05, 0.55: 0.05, 0.85: 0.05, 0.98: 0.25}
LOW = dict.fromkeys((0.002, 0.01, 0.03, 0.1, 0.2, 0.4, 0.7), 0.6 / 7)
OWN = 0.4


@dataclass(frozen=True)
class Written:
    """The answer of the formulas."""

    low: int
    high: int
    at_most: int
    estimate: float | None


@dataclass(frozen=True)
class _Draw:
    p: list[float]  # of each sample left
    q: list[float]
    p_drawn: float
    q_drawn: float
    answer: float | None
    gone: list[int]  # samples that left before

    @property
    def expected(self) -> float:
        return sum(self.p)

    @property
    def variance(self) -> float:
        return sum((p * (1 - p) ** 2 + (1 - p) * p**2) / q for p, q in zip(self.p, self.q, strict=True))

    def z(self, answer: float) -> float:
        return self.expected + (answer - self.p_drawn) / self.q_drawn

    @property
    def z_max(self) -> float:
        return self.expected + max((1 - p) / q for p, q in zip(self.p, self.q, strict=True))

    @property
    def z_min(self) -> float:
        return self.expected - max(p / q for p, q in zip(self.p, self.q, strict=True))


def measured(audit: "PlayedAudit", level: float) -> Written:
    """Interval, bound and estimate of all samples."""
    answers = [None if answer == Answer.NONE else float(answer == Answer.WRONG) for answer in audit.answers]
    every = _draws(audit, answers)
    found = sum(answer == 1 for answer in answers)
    most = found + sum(answer is None for answer in answers)
    while every and every[-1].answer is None:
        every.pop()
    if not every:
        return Written(found, most, most, None)
    limit = 1 / (1 - level)
    up = {total: _capital_up(every, answers, total) for total in range(found, most + 1)}
    low = {total: _capital_low(every, answers, total) for total in range(found, most + 1)}
    kept = [total for total in up if (up[total] + low[total]) / 2 < limit]
    bounded = [total for total in up if up[total] < limit]
    estimate = min(max(_estimate(audit, every, answers), found), most)
    return Written(kept[0], kept[-1], bounded[-1], estimate)


def _draws(audit: "PlayedAudit", answers: list[float | None]) -> list[_Draw]:
    found = []
    for seq, (row, drawn) in enumerate(zip(audit.rows, audit.drawn, strict=True)):
        if not drawn:
            continue
        place = max(place for place, model in enumerate(audit.models) if model.first <= seq)
        model, bins = audit.models[place], audit.rankings[place]
        left = [other for other in range(len(answers)) if other not in audit.rows[:seq]]
        total = sum(model.weight[bins[other]] for other in left)
        found.append(
            _Draw(
                p=[float(model.probability[bins[other]]) for other in left],
                q=[float(model.weight[bins[other]] / total) for other in left],
                p_drawn=float(model.probability[bins[row]]),
                q_drawn=float(model.weight[bins[row]] / total),
                answer=answers[row],
                gone=audit.rows[:seq],
            )
        )
    return found


def _capital_up(draws: list[_Draw], answers: list[float | None], total: int) -> float:
    """Against more than `total`; what is not known counts as wrong."""
    capital, own = dict.fromkeys(UP, 1.0), 1.0
    for draw in draws:
        m0 = total - sum(1.0 if answers[row] is None else answers[row] or 0.0 for row in draw.gone)
        z = draw.z(1.0 if draw.answer is None else draw.answer)
        if draw.z_max < m0 - 1e-9 * (1 + abs(m0)):
            return math.inf
        room = max(draw.z_max - m0, 1e-9 * (1 + abs(m0)))
        for f in capital:
            capital[f] *= 1 - f / room * (z - m0)
        ahead = m0 - draw.expected
        own *= 1 - min(max(ahead / (draw.variance + ahead**2), 0), 0.95 / room) * (z - m0)
    return sum(UP[f] * capital[f] for f in UP) + OWN * own


def _capital_low(draws: list[_Draw], answers: list[float | None], total: int) -> float:
    """Against fewer than `total`; what is not known counts as right."""
    capital, own = dict.fromkeys(LOW, 1.0), 1.0
    for draw in draws:
        m0 = total - sum(answers[row] or 0.0 for row in draw.gone)
        z = draw.z(draw.answer or 0.0)
        if m0 < 0 or draw.z_min > m0 + 1e-9 * (1 + abs(m0)):
            return math.inf
        room = max(m0 - draw.z_min, 1e-9 * (1 + abs(m0)))
        for f in capital:
            capital[f] *= 1 + f / room * (z - m0)
        ahead = draw.expected - m0
        own *= 1 + min(max(ahead / (draw.variance + ahead**2), 0), 0.95 / room) * (z - m0)
    return sum(LOW[f] * capital[f] for f in LOW) + OWN * own


def _estimate(audit: "PlayedAudit", draws: list[_Draw], answers: list[float | None]) -> float:
    """Mean over the answered draws; a missing answer before counts as the model expected."""
    expected = {}
    for seq, row in enumerate(audit.rows):
        place = max((place for place, model in enumerate(audit.models) if model.first <= seq), default=None)
        expected[row] = 0.0 if place is None else float(audit.models[place].probability[audit.rankings[place][row]])
    told = [draw for draw in draws if draw.answer is not None]
    values = [
        sum(expected[row] if answers[row] is None else answers[row] or 0.0 for row in draw.gone)
        + draw.z(draw.answer or 0.0)
        for draw in told
    ]
    return sum(values) / len(values)
