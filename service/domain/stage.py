"""Stage of a ranking: a first one while the job still computes, or that of the completed job."""

from collections.abc import Mapping
from typing import Any, Literal

# quick: by trees alone, in seconds. full: all that the job computes.
Stage = Literal["quick", "full"]
FIRST = -1  # version of the ranking of a job that still computes; the completed job's own is 0


def stage_of(result: Mapping[str, Any] | None) -> Stage:
    """The stage of a job's ranking. Jobs of earlier versions give none before the full one."""
    found: Stage = (result or {}).get("stage", "full")
    return found
