"""Verdicts on samples."""

from typing import Literal, get_args

Verdict = Literal["mislabeled", "anomalous", "clean"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
# Something is wrong with these, as far as the job can tell.
FLAGGED: tuple[Verdict, ...] = ("mislabeled", "anomalous")
