"""States of a rescoring, which scores the samples of a completed job again by what people have verified."""

from typing import Literal

RescoringState = Literal["queued", "running", "completed", "failed"]
UNDER_WAY: tuple[RescoringState, ...] = ("queued", "running")
FEWEST_VERIFIED = 10  # samples that a comparison needs
