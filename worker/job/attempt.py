"""One attempt at a job: what its phases share, and what scoring hands to ranking."""

from dataclasses import dataclass
from pathlib import Path

from service.domain.job import State
from service.domain.specs import JobSpec
from service.store.blobs import Blobs
from service.store.jobs import Job
from worker.data.canonical import Canonical
from worker.job.context import WorkerContext
from worker.job.heartbeat import Heartbeat
from worker.job.measuring import Scored
from worker.job.phase_timer import PhaseTimer
from worker.job.preparation import JobSamples


@dataclass(frozen=True)
class JobAttempt:
    """A claimed job with its dataset, while it is computed. What is in the folder `scratch` goes at the end of the attempt."""

    job: Job
    dataset: Canonical
    scratch: Path
    context: WorkerContext
    heartbeat: Heartbeat
    timer: PhaseTimer

    @property
    def blobs(self) -> Blobs:
        """Where the files of jobs and datasets are."""
        return self.context.blobs

    def report_scoring(self, share: float) -> None:
        """Tell how far scoring is, from 0 to 1."""
        self.timer.keep("scoring_s")
        self.heartbeat.report(State.SCORING, share, "measuring influence")


@dataclass(frozen=True)
class ScoredJob:
    """The result of scoring; `spec` has the learning rate that was found, `epochs` are those of the checkpoints."""

    samples: JobSamples
    spec: JobSpec
    scored: Scored
    epochs: list[int]
