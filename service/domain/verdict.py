"""Verdicts on samples."""

from typing import Literal, get_args

# clean: not flagged by a job that could count. not_judged: not flagged by a job that could count neither wrong labels nor
# anomalies.
Verdict = Literal["mislabeled", "anomalous", "clean", "not_judged"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
# Something is wrong with these, as far as the job can tell.
FLAGGED: tuple[Verdict, ...] = ("mislabeled", "anomalous")


def verdict_words(verdict: str) -> str:
    """A verdict as people read it."""
    return verdict.replace("_", " ")
