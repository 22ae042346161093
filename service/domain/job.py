"""States of a job and the allowed moves between them; no other module knows which are allowed."""

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class State(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    PREPARING = "preparing"
    TRAINING = "training"
    SCORING = "scoring"
    RANKING = "ranking"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


RUNNING = frozenset({State.PREPARING, State.TRAINING, State.SCORING, State.RANKING})
ACTIVE = RUNNING | {State.QUEUED}
ENDED = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})

# A running job may go back to `queued` (its worker was stopped in an orderly way) and may be claimed again by
# another worker when its lease ran out, which starts it at `preparing`. A training that was recorded elsewhere goes from `preparing` to `scoring`.
MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.PREPARING, State.CANCELLED, State.FAILED}),
    State.PREPARING: frozenset(
        {State.PREPARING, State.TRAINING, State.SCORING, State.QUEUED, State.FAILED, State.CANCELLED}
    ),
    State.TRAINING: frozenset({State.PREPARING, State.SCORING, State.QUEUED, State.FAILED, State.CANCELLED}),
    State.SCORING: frozenset({State.PREPARING, State.RANKING, State.QUEUED, State.FAILED, State.CANCELLED}),
    State.RANKING: frozenset({State.PREPARING, State.COMPLETED, State.QUEUED, State.FAILED, State.CANCELLED}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset({State.QUEUED}),
    State.CANCELLED: frozenset({State.QUEUED}),
}


def states_before(target: State) -> frozenset[State]:
    """The states from which `target` may be entered."""
    return frozenset(state for state, targets in MOVES.items() if target in targets)


class Progress(BaseModel):
    """Progress of a job; `fraction` is the share of the whole job that is done, from 0 to 1."""

    model_config = ConfigDict(frozen=True)

    fraction: float = Field(0.0, ge=0, le=1)
    phase: str = State.QUEUED.value
    detail: str = ""
    eta_seconds: float | None = None


class JobError(BaseModel):
    """Why a job failed. `code` is stable; `detail` says what to change."""

    model_config = ConfigDict(frozen=True)

    code: str
    detail: str
