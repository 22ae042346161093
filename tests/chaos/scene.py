"""Where a fault strikes, and what a fault is."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from service.domain.job import State
from tests.chaos.part import Part
from tests.chaos.stack import LEASE_S, Stack
from tests.chaos.workload import Kind, Workload

Recovered = Callable[[], bool]
Acts = Iterator[Recovered | None]
COMPUTED = (State.PREPARING, State.TRAINING, State.SCORING, State.RANKING)
EVERYWHERE = (State.QUEUED, *COMPUTED)
PAST_THE_LEASE_S = 2 * LEASE_S


@dataclass(frozen=True)
class Scene:
    """Where a fault strikes: a job in a phase, and the worker that has it, or any worker for one that waits."""

    stack: Stack
    work: Workload
    job_id: str
    worker: Part
    drawn: random.Random

    @property
    def kind(self) -> Kind:
        """What job it is."""
        return self.work.kind_of(self.job_id)

    @property
    def home(self) -> Path:
        """The data folder of the worker."""
        return self.stack.homes[self.worker.name]


@dataclass(frozen=True)
class Fault:
    """A kind of fault. `needs`: what an installation must have for it. Its acts end before the first pause where they come too late."""

    name: str
    acts: Callable[[Scene], Acts]
    phases: tuple[State, ...] = EVERYWHERE
    needs: frozenset[str] = field(default_factory=frozenset)
    takes_worker: bool = False  # then another worker must claim the job
    damages: bool = False  # then the job may be queued again, or fail by a name that says what to mend
    job: str = ""  # the kind of job that it strikes; any where empty
    ready: Callable[[Stack, str], bool] | None = None  # what must be so of a job in the phase, too
