"""The state of an audit: its log, the answers of reviewers, and the order of the samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from service.audit.log import Log
from service.audit.measure import Answer, Measured, measure
from service.audit.working_model import bin_ends
from service.domain.audit import AuditedLabels
from service.domain.job import State
from service.services import Services
from service.store import audits, chains, jobs, proxies, rescorings
from service.store.answers import answers
from service.store.audits import StoredModel
from service.store.jobs import Job
from service.store.open_audits import RankedRows, StoredLog
from service.store.ranking_columns import RankingColumns

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class AuditState:
    """An audit at one moment. n samples, in the order of the audited job's columns; `stored` is None before the first draw."""

    job: Job  # whose labels are audited
    ranked_by: str  # the ranking that the newest completed job of its chain has now, and the newest proxy
    columns: RankingColumns
    answers: Array  # int8 n, an Answer each
    ranked: RankedRows  # the samples by the newest ranking
    stored: StoredLog | None
    confirm: int = 1  # people who must call a label wrong before it counts
    # Rows that too few people call wrong yet, and who does: they have no answer.
    unconfirmed: Mapping[int, set[str | None]] = field(default_factory=dict)

    @cached_property
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

    def measured(self, level: float, *, unsure_is_unknown: bool = False) -> Measured:
        """What the audit says of all samples now. The draws of its log do not depend on the answers and are kept with it."""
        draws = None if self.stored is None else self.stored.draws
        return measure(self.log, self.answers, level, unsure_is_unknown=unsure_is_unknown, draws=draws)

    def counts_by_bin(self) -> tuple[Array, Array, Array]:
        """Samples with a review, with a wrong label, and without a review in each bin of the newest ranking: int B each."""
        sizes = np.diff(bin_ends(len(self.answers)), prepend=0)
        reviewed, wrong = self._reviewed(self.ranked.bins, len(sizes))
        return reviewed, wrong, sizes - reviewed

    def counts_by_cell(self, is_left: Array) -> tuple[Array, Array, Array]:
        """Reviewed samples, those with a wrong label, and those of `is_left` (bool n) in each cell that draws are made of: int each."""
        reviewed, wrong = self._reviewed(self.ranked.cells, self.ranked.width)
        return reviewed, wrong, np.bincount(self.ranked.cells[is_left], minlength=self.ranked.width)

    def _reviewed(self, cells: Array, width: int) -> tuple[Array, Array]:
        reviewed, wrong = (
            np.bincount(cells[rows], minlength=width)
            for rows in (self.answers != Answer.NONE, self.answers == Answer.WRONG)
        )
        return reviewed, wrong

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
    newest = completed[-1].id
    version, proxy = rescorings.version(connection, newest), proxies.last_number(connection, audited.id)
    ranked_by = audits.DrawnBy(newest, version, proxy).name
    row = audits.get(connection, audited.id)
    confirm = 1 if row is None else row.confirm
    said = answers(connection, audited.id, ranking.columns, ranking.standing, confirm)
    return AuditState(
        job=audited,
        ranked_by=ranked_by,
        columns=ranking.columns,
        answers=said.of_row,
        ranked=ranked_rows(services, connection, audited.id, ranked_by),
        stored=services.open_audits.log(connection, audited.id),
        confirm=confirm,
        unconfirmed=said.unconfirmed,
    )


def ranked_rows(services: Services, connection: sa.Connection, job_id: str, ranked_by: str) -> RankedRows:
    """The samples of a job by a ranking of a job of its chain and a proxy (`audits.DrawnBy`)."""
    return services.open_audits.ranked(connection, services.open_rankings, services.blobs, job_id, ranked_by)
