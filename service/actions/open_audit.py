"""The state of an audit: its log, the answers of reviewers, and the order of the samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.actions.second_opinions import people_who_call_wrong
from service.audit.log import Log
from service.audit.measure import Answer
from service.audit.working_model import bin_ends
from service.domain.audit import AuditedLabels
from service.domain.job import State
from service.services import Services
from service.store import audits, chains, jobs, rankings
from service.store.audits import StoredModel
from service.store.jobs import Job
from service.store.open_audits import RankedRows, StoredLog
from service.store.ranking_columns import RankingColumns
from service.store.standing import DECISIONS

Array = npt.NDArray[Any]

_ANSWERS = {
    "keep": Answer.RIGHT,
    "relabel": Answer.WRONG,
    "remove": Answer.WRONG,
    "plausible": Answer.PLAUSIBLE,
    "unsure": Answer.UNSURE,
}
# By the place of a decision; -1, the last, is none.
_BY_DECISION = np.array([*(_ANSWERS[name] for name in DECISIONS), Answer.NONE], np.int8)


@dataclass(frozen=True)
class AuditState:
    """An audit at one moment. n samples, in the order of the audited job's columns; `stored` is None before the first draw."""

    job: Job  # whose labels are audited
    ranked_by: str  # the newest completed job of its chain
    columns: RankingColumns
    answers: Array  # int8 n, an Answer each
    ranked: RankedRows  # the samples by the newest ranking
    stored: StoredLog | None
    confirm: int = 1  # people who must call a label wrong before it counts
    # Rows that too few people call wrong yet, and who does: they have no answer.
    unconfirmed: Mapping[int, set[str | None]] = field(default_factory=dict)

    @property
    def log(self) -> Log:
        """The log, by rows of the columns."""
        if self.stored is None:
            return Log(np.zeros(0, np.int64), np.zeros(0, np.int16), np.zeros(0, bool), ())
        models = [one.model for one in self.stored.models]
        return Log(self.columns.rows_at(self.stored.index), self.stored.bin, self.stored.is_drawn, models)

    @property
    def seed(self) -> int:
        """Of the draws; 0 before the first."""
        return 0 if self.stored is None else self.stored.seed

    @property
    def entries(self) -> int:
        """How many the log has."""
        return 0 if self.stored is None else len(self.stored)

    @property
    def models(self) -> Sequence[StoredModel]:
        """The working models, the oldest first."""
        return () if self.stored is None else self.stored.models

    def counts_by_bin(self, is_left: Array) -> tuple[Array, Array, Array]:
        """Reviewed samples, those with a wrong label, and those of `is_left` (bool n) in each bin of the newest ranking: int B each."""
        bins, width = self.ranked.bins, len(bin_ends(len(is_left)))
        reviewed, wrong, left = (
            np.bincount(bins[rows], minlength=width)
            for rows in (self.answers != Answer.NONE, self.answers == Answer.WRONG, is_left)
        )
        return reviewed, wrong, left

    @property
    def is_logged(self) -> Array:
        """Which samples the log has: bool n."""
        found = np.zeros(len(self.answers), bool)
        found[self.log.row] = True
        return found


def open_audit(services: Services, connection: sa.Connection, job: Job, of: AuditedLabels) -> AuditState:
    """The audit of the labels that the chain of a completed job began with, or of those that the job ranked."""
    chain = [found for one in chains.job_ids(connection, job.id) if (found := jobs.get(connection, one)) is not None]
    completed = [one for one in chain if one.state == State.COMPLETED]
    audited = completed[0] if of == "original" else job
    ranking = services.open_rankings.get(connection, services.blobs, audited.id)
    ranked_by = completed[-1].id
    answers = _BY_DECISION[ranking.standing.decisions(connection)]
    row = audits.get(connection, audited.id)
    confirm = 1 if row is None else row.confirm
    unconfirmed = _unconfirmed(connection, audited.id, ranking.columns, answers) if confirm > 1 else {}
    answers[list(unconfirmed)] = Answer.NONE
    return AuditState(
        job=audited,
        ranked_by=ranked_by,
        columns=ranking.columns,
        answers=answers,
        ranked=ranked_rows(services, connection, audited.id, ranked_by),
        stored=services.open_audits.log(connection, audited.id),
        confirm=confirm,
        unconfirmed=unconfirmed,
    )


def _unconfirmed(
    connection: sa.Connection, job_id: str, columns: RankingColumns, answers: Array
) -> dict[int, set[str | None]]:
    """Rows that one person alone calls wrong."""
    rows = np.flatnonzero(answers == Answer.WRONG)
    ids = rankings.ids_by_index(connection, job_id, columns.index[rows].tolist())
    people = people_who_call_wrong(connection, job_id, ids)
    return {
        int(row): people.get(name, set()) for row, name in zip(rows, ids, strict=True) if len(people.get(name, ())) < 2
    }


def ranked_rows(services: Services, connection: sa.Connection, job_id: str, ranked_by: str) -> RankedRows:
    """The samples of a job by the ranking of a job of its chain."""
    return services.open_audits.ranked(connection, services.open_rankings, services.blobs, job_id, ranked_by)
