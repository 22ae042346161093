"""Outcome of a campaign as a table."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass
class Strike:
    """One fault that was injected. `jobs`: those that were in flight; `recovery_s` is None where there was nothing to recover."""

    fault: str
    phase: str
    job_id: str
    jobs: frozenset[str]
    recovery_s: float | None = None
    told: bool = False  # the job failed, named the cause, and went on after the cure
    broken: str = ""  # what did not come back in time


@dataclass
class Outcome:
    """All strikes on one installation, and what became of its jobs."""

    installation: str
    strikes: list[Strike] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)  # job and why
    wrong: set[str] = field(default_factory=set)
    compared: int = 0
    orphans: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    ended_early: str = ""

    def is_clean(self) -> bool:
        """Whether the campaign ran to its end and nothing was lost, wrong or left."""
        broken = any(one.broken for one in self.strikes)
        return not (self.lost or self.wrong or self.orphans or broken or self.ended_early)


HEADER = ("fault", "injected", "lost", "wrong", "orphans", "told and cured", "recovery median s", "max s")


def rows(outcomes: Iterable[Outcome]) -> list[tuple[str, ...]]:
    """A row for each kind of fault, and one for all."""
    outcomes = list(outcomes)
    by_fault: dict[str, list[tuple[Outcome, Strike]]] = defaultdict(list)
    for outcome in outcomes:
        for strike in outcome.strikes:
            by_fault[strike.fault].append((outcome, strike))
    found = [_row(name, some) for name, some in by_fault.items()]
    everything = [pair for some in by_fault.values() for pair in some]
    total = _row("**all**", everything)
    lost, wrong, left = (
        sum(len(part) for part in parts)
        for parts in zip(*((one.lost, one.wrong, one.orphans) for one in outcomes), strict=True)
    )
    return [*found, (total[0], total[1], str(lost), str(wrong), str(left), *total[5:])]


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The table, as it is kept."""
    lines = [HEADER, ("---", *("---:" for _ in HEADER[1:])), *rows(outcomes)]
    return "\n".join(f"| {' | '.join(one)} |" for one in lines)


def by_phase(outcomes: Sequence[Outcome]) -> str:
    """Faults and recoveries by the phase of the job that was struck."""
    found: dict[str, list[Strike]] = defaultdict(list)
    for outcome in outcomes:
        for strike in outcome.strikes:
            found[strike.phase].append(strike)
    lines = ["| phase | injected | recovery median s | max s |", "| --- | ---: | ---: | ---: |"]
    for phase in ("queued", "preparing", "training", "scoring", "ranking"):
        if some := found.get(phase):
            lines += [f"| {phase} | {len(some)} | {' | '.join(_times(some))} |"]
    return "\n".join(lines)


def _row(name: str, some: Sequence[tuple[Outcome, Strike]]) -> tuple[str, ...]:
    strikes = [strike for _, strike in some]
    lost = {(id(outcome), job) for outcome, strike in some for job in strike.jobs & outcome.lost.keys()}
    wrong = {(id(outcome), job) for outcome, strike in some for job in strike.jobs & outcome.wrong}
    left = {
        (id(outcome), one)
        for outcome, strike in some
        for one in outcome.orphans
        if any(job in one for job in strike.jobs)
    }
    told = sum(strike.told for strike in strikes)
    return (name, *map(str, (len(strikes), len(lost), len(wrong), len(left), told)), *_times(strikes))


def _times(strikes: Sequence[Strike]) -> tuple[str, str]:
    times = [strike.recovery_s for strike in strikes if strike.recovery_s is not None]
    if any(strike.broken for strike in strikes):
        return (f"{median(times):.1f}" if times else "-", "never")
    return (f"{median(times):.1f}", f"{max(times):.1f}") if times else ("-", "-")
