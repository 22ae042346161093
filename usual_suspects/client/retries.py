"""When a request is sent again, and how long the client waits before that."""

from typing import Any

import httpx
import tenacity

from usual_suspects.client.errors import ApiError, TooMany, Unavailable, Unreachable
from usual_suspects.client.requests import Request

LONGEST_S = 60.0
_WAIT = tenacity.wait_exponential(multiplier=0.5, max=10) + tenacity.wait_random(0, 0.25)


def policy(request: Request, retries: int) -> dict[str, Any]:
    """Arguments for tenacity: up to `retries` further attempts, after what `Retry-After` says, else after 0.5, 1, 2 … seconds."""
    return {
        "stop": tenacity.stop_after_attempt(retries + 1),
        "wait": _wait,
        "retry": tenacity.retry_if_exception(lambda error: _is_worth_it(error, request)),
        "reraise": True,
    }


def _is_worth_it(error: BaseException, request: Request) -> bool:
    match error:
        case TooMany() | Unavailable():
            return (error.retry_after or 0) <= LONGEST_S
        case Unreachable():
            never_sent = isinstance(error.__cause__, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            return never_sent or request.repeatable
    return False


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, ApiError) and error.retry_after is not None:
        return error.retry_after
    return _WAIT(state)
