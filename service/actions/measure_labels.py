"""Measured numbers of wrong labels of a job: in all, of each label, among the first ranks, and whether a goal is reached."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from service.actions.open_audit import AuditState, open_audit, ranked_rows
from service.actions.second_opinions import SecondOpinions, second_opinions
from service.audit.goal import Goal, GoalKind, GoalProgress, expected_more_reviews, expected_wrong, progress_of
from service.audit.log import Log, Members
from service.audit.measure import Answer, Measured, measure, members_of, parts_of, sizes_of
from service.audit.working_model import bin_ends, fit_model
from service.domain.audit import AuditedLabels
from service.ingest.identities import splits_of
from service.services import Services
from service.store import audits, jobs, proxies
from service.store.jobs import Job
from service.store.proxies import StoredProxy

Array = npt.NDArray[Any]
_NEXT = 50
_POINTS = 24  # of the history
_DEFAULT_GOAL = "measure"


@dataclass(frozen=True)
class AuditQuestion:
    """What is asked of an audit. `top`: numbers of first ranks. `goal`: None for that of the last draws."""

    of: AuditedLabels = "original"
    level: float = 0.95
    goal: str | None = None
    by: Literal["label", "split"] | None = None
    top: Sequence[int] = ()
    history: bool = False
    opinions: bool = False
    worst_case: bool = False


@dataclass(frozen=True)
class PartCounts:
    """Measured wrong labels among the samples with one given label, or of one split."""

    name: str
    measured: Measured


@dataclass(frozen=True)
class TopCounts:
    """Measured wrong labels among the first `top` ranks of the audited job."""

    top: int
    measured: Measured


@dataclass(frozen=True)
class Moment:
    """What was measured after a number of drawn reviews, by the answers of today."""

    drawn: int
    measured: Measured


@dataclass(frozen=True)
class RankProbability:
    """Some ranks of the newest ranking, both ends included: samples without a review, reviewed ones, those called wrong.

    `probability` is that of a wrong label there, by the working model.
    """

    first: int
    last: int
    left: int
    reviewed: int
    wrong: int
    probability: float


@dataclass(frozen=True)
class AuditAnswer:
    """The answer of an audit at one moment."""

    job: Job
    level: float
    goal: Goal
    measured: Measured
    progress: GoalProgress
    expected_more_reviews: int | None
    next_expected: float  # errors among the next 50 by rank, by the working model
    bands: list[RankProbability]
    waiting: int  # samples handed out and not reviewed
    labels: list[PartCounts]
    splits: list[PartCounts]
    tops: list[TopCounts]
    history: list[Moment]
    confirm: int  # people who must call a label wrong before it counts
    unconfirmed: int  # labels that too few people call wrong yet
    opinions: SecondOpinions
    proxy: StoredProxy | None  # the judge whose opinions share in the draws


def goal_from(text: str) -> Goal:
    """The goal that a text of GOAL_PATTERN means."""
    kind, _, value = text.partition(":")
    kinds: dict[str, GoalKind] = {
        "measure": "measure",
        "recall": "recall",
        "remaining": "remaining",
        "accept": "accept",
    }
    return Goal(kinds[kind], float(value) if value else None)


def measure_labels(services: Services, job: Job, asked: AuditQuestion) -> AuditAnswer:
    """Answer by the reviews there are; they may come from anywhere, and the answer holds at every moment."""
    with services.database.read() as connection:
        state = open_audit(services, connection, job, asked.of)
        ranking = services.open_rankings.get(connection, services.blobs, state.job.id)
        last = audits.last_batch(connection, state.job.id)
        proxy = proxies.get(connection, state.job.id, proxies.last_number(connection, state.job.id))
        names = {one.ranked_by for one in state.models if asked.by or asked.top}
        # Draws by the ranking of a job that was deleted cannot be told by label any more; they count in the whole.
        there = [name for name in names if jobs.get(connection, audits.DrawnBy.of(name).job_id) is not None]
        bins = {name: ranked_rows(services, connection, state.job.id, name).cells for name in there}
        opinions = second_opinions(connection, state.job.id) if asked.opinions else SecondOpinions([], [])
        # The first ranking of the job: a rescored one depends on the answers, and what is measured must not be chosen by them.
        own = ranked_rows(services, connection, state.job.id, state.job.id).order if asked.top else state.ranked.order
    log, goal = state.log, goal_from(asked.goal or (last.goal if last else _DEFAULT_GOAL))
    of_models = [bins.get(one.ranked_by) for one in state.models]

    def measured(members: Members) -> Measured:
        return measure(log, state.answers, asked.level, members, unsure_is_unknown=asked.worst_case)

    def parts(codes: Array, names: Sequence[str]) -> list[PartCounts]:
        # By the name of each ranking: what was said since changes no size.
        sizes = [
            None
            if cells is None
            else ranking.remembered(
                ("sizes", asked.by, one.ranked_by),
                partial(sizes_of, codes, len(names), cells, len(one.model.left)),
            )
            for one, cells in zip(state.models, of_models, strict=True)
        ]
        found = parts_of(log, state.answers, codes, of_models, sizes, len(names))
        return [PartCounts(name, measured(one)) for name, one in zip(names, found, strict=True) if one.by_answer.any()]

    def among(rows: Array) -> Measured:
        return measured(members_of(log, state.answers, rows, of_models))

    whole, bands = state.measured(asked.level, unsure_is_unknown=asked.worst_case), _bands(state)
    # Of the samples without a review, the likeliest first.
    left, probability = np.array([one.left for one in bands]), np.array([one.probability for one in bands])
    return AuditAnswer(
        job=state.job,
        proxy=proxy,
        level=asked.level,
        goal=goal,
        measured=whole,
        progress=progress_of(goal, whole),
        expected_more_reviews=expected_more_reviews(goal, whole, left, probability),
        next_expected=float(expected_wrong(left, probability, np.array([_NEXT]))[0]),
        bands=bands,
        waiting=int((state.answers[log.row] == Answer.NONE).sum()),
        labels=parts(state.columns.given, state.columns.labels) if asked.by == "label" else [],
        splits=parts(*_splits(services, state)) if asked.by == "split" else [],
        tops=[TopCounts(top, among(own[:top])) for top in asked.top],
        history=_history(state, whole, asked) if asked.history else [],
        confirm=state.confirm,
        unconfirmed=len(state.unconfirmed),
        opinions=opinions,
    )


def _splits(services: Services, state: AuditState) -> tuple[Array, Sequence[str]]:
    """The split of each sample, as a place among the names that are given with it."""
    codes, names = splits_of(services.blobs.canonical(state.job.dataset_id))
    return codes[state.columns.position], names


def _bands(state: AuditState) -> list[RankProbability]:
    """How likely labels are wrong by rank, by all reviews so far."""
    samples = len(state.answers)
    reviewed, wrong, left = state.counts_by_bin()
    model, ends = fit_model(0, reviewed, wrong, left, samples), bin_ends(samples)
    columns = (ends - np.diff(ends, prepend=0) + 1, ends, left, reviewed, wrong, model.probability)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [RankProbability(*row) for row in rows]


def _history(state: AuditState, now: Measured, asked: AuditQuestion) -> list[Moment]:
    """The intervals after some of the drawn reviews, the last one as it is now."""
    log = state.log
    drawn = np.flatnonzero(log.is_drawn & (state.answers[log.row] != Answer.NONE))
    if not len(drawn):
        return []
    moments = []
    for place in np.unique(np.round(np.linspace(1, len(drawn), _POINTS)).astype(int))[:-1]:
        end = int(drawn[place - 1]) + 1
        models = [model for model in log.models if model.first < end]
        part = Log(log.row[:end], log.bin[:end], log.is_drawn[:end], models)
        known = np.full_like(state.answers, Answer.NONE)
        known[part.row] = state.answers[part.row]
        moments.append(Moment(int(place), measure(part, known, asked.level, unsure_is_unknown=asked.worst_case)))
    return [*moments, Moment(now.drawn, now)]
