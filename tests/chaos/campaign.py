"""A campaign: faults in an order that a seed draws, each when a job is in the phase that is its turn."""

import random
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle

import httpx
import sqlalchemy as sa

from service.background.collect import collect
from service.domain.errors import SuspectsError
from service.domain.job import ENDED, State
from service.main import create_app
from service.store.blobs import open_blobs
from service.store.inventory import tidy
from tests.chaos.clock import library
from tests.chaos.faults import FAULTS
from tests.chaos.orphans import orphans
from tests.chaos.part import Part
from tests.chaos.scene import Fault, Recovered, Scene
from tests.chaos.stack import JobRow, Stack, running
from tests.chaos.table import Outcome, Strike
from tests.chaos.workload import Kind, Workload, kinds

_AT_ONCE = 2
_RECOVERED_WITHIN_S = 60.0
_ENDED_WITHIN_S = 180.0
_CURABLE = {"damaged", "storage_full"}
_GRACE_S = 0.001
_KEPT, _DELETED_AT_ONCE = 20, 0.3  # completed jobs, and the share of them
_PASSED = object()  # what a fault strikes was there no more: another job is struck


@dataclass(frozen=True)
class Turn:
    """A fault, and the phase of the job that it strikes."""

    fault: Fault
    phase: State


def schedule(faults: Sequence[Fault], count: int, drawn: random.Random) -> list[Turn]:
    """So many turns: every fault in every phase as often as any other, in a drawn order."""
    deck: list[Turn] = []
    while len(deck) < count:
        # Each fault once a round, each time in the next of its phases, so that a short campaign has every kind, too.
        some = [
            Turn(fault, fault.phases[(len(deck) // len(faults) + place) % len(fault.phases)])
            for place, fault in enumerate(faults)
        ]
        drawn.shuffle(some)
        deck += some
    return deck[:count]


def possible(stack: Stack) -> list[Fault]:
    """The faults that an installation can be struck by; the others are named in `left_out`."""
    has = {"postgresql": stack.postgres is not None, "disk": stack.disk is not None, "network": bool(stack.hosts)}
    has |= {"clock": library() is not None, "s3": stack.store is not None}
    if not has["clock"]:
        stack.left_out.append("clock jumps: libfaketime is not installed")
    return [fault for fault in FAULTS if all(has[need] for need in fault.needs)]


@dataclass
class Campaign:
    """Strikes an installation again and again. `say` gets a line for each strike."""

    work: Workload
    drawn: random.Random
    outcome: Outcome
    flying: list[str] = field(default_factory=list)  # jobs that have not ended
    begun: dict[str, float] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)  # jobs whose ranking was right, and that are not deleted yet

    @property
    def stack(self) -> Stack:
        """The installation."""
        return self.work.stack

    def run(self, turns: Sequence[Turn]) -> None:
        """Strike by strike, then wait for every job."""
        drawn_kinds = cycle(self.work.kinds)
        for number, turn in enumerate(turns, 1):
            self._wait_until_whole()
            self._harvest()
            strike = self._strike(turn, drawn_kinds)
            told = "nothing to recover" if strike.recovery_s is None else f"{strike.recovery_s:.1f} s"
            _say(
                f"{self.outcome.installation} {number}/{len(turns)} {strike.fault}, {strike.phase}: {strike.broken or told}"
            )
        deadline = time.monotonic() + _ENDED_WITHIN_S
        while self.flying and time.monotonic() < deadline:
            self._harvest()
            time.sleep(0.1)
        for job_id in self.flying:
            self.outcome.lost[job_id] = f"still {self.stack.row(job_id)}"

    def _wait_until_whole(self) -> None:
        """Wait until every part works again; where one does not by itself, that is told, and all are started anew."""
        try:
            self.stack.wait_until_whole()
        except TimeoutError as error:
            if not self.outcome.strikes:
                raise
            self.outcome.strikes[-1].broken = str(error)
            _say(f"{self.outcome.installation}: {error}")
            for part in (self.stack.api, *self.stack.workers):
                part.kill()
                part.start()
            self.stack.wait_until_whole()

    def _strike(self, turn: Turn, drawn_kinds: Iterator[Kind]) -> Strike:
        held: list[object] = []
        if turn.phase == State.QUEUED:
            # While it is struck nobody takes it.
            self.stack.pause(self.stack.workers)
            job_id = self._submit(self._kind(turn.fault, drawn_kinds))
            worker = self.drawn.choice(self.stack.workers)
            held = list(self.stack.workers)
        else:
            job_id, worker = self._job_in(turn, drawn_kinds)
        scene = Scene(self.stack, self.work, job_id, worker, self.drawn)
        acts = turn.fault.acts(scene)
        passed = next(acts, _PASSED) is _PASSED
        for one in self.stack.workers if held else ():
            one.resume()
        if passed:
            return self._strike(turn, drawn_kinds)
        strike = Strike(turn.fault.name, turn.phase, job_id, frozenset(self.flying))
        self.outcome.strikes.append(strike)
        also = next(acts)
        if turn.fault.damages:
            self._watch(strike)
        else:
            self._recover(strike, also, takes_worker=turn.fault.takes_worker and turn.phase != State.QUEUED)
        next(acts, None)
        # Jobs that the fault itself submitted.
        self.flying += [one for one in self.work.submitted if one not in self.begun]
        self.begun.update({one: time.monotonic() for one in self.flying if one not in self.begun})
        return strike

    def _recover(self, strike: Strike, also: Recovered | None, *, takes_worker: bool) -> None:
        """Wait until the job moves on, and note how long that took; a failure that names its cause is cured first."""
        since, before = time.monotonic(), self.stack.row(strike.job_id)
        nothing_to_do = before is not None and before.state == State.COMPLETED
        while True:
            now = self.stack.row(strike.job_id)
            if now is not None and now.state == State.FAILED and self._cure(strike.job_id):
                since, before, takes_worker = time.monotonic(), self.stack.row(strike.job_id), False
            elif now is not None and _moved(before, now, takes_worker=takes_worker) and (also is None or also()):
                break
            if time.monotonic() - since > _RECOVERED_WITHIN_S:
                strike.broken = f"not recovered within {_RECOVERED_WITHIN_S:.0f} s: {now}"
                return
            time.sleep(0.02)
        strike.recovery_s = None if nothing_to_do and also is None else time.monotonic() - since

    def _watch(self, strike: Strike) -> None:
        """Wait until the job has completed, and note the time in which no worker computed it; it is cured where it fails."""
        began = last = time.monotonic()
        idle = 0.0
        while (row := self.stack.row(strike.job_id)) is None or row.state != State.COMPLETED:
            now = time.monotonic()
            if row is not None and row.state == State.FAILED:
                if not self._cure(strike.job_id):
                    return
                last = time.monotonic()  # a person mends it: that is not counted
                continue
            if row is not None and row.state == State.QUEUED and strike.phase != State.QUEUED:
                idle += now - last
            last = now
            if now - began > _ENDED_WITHIN_S:
                strike.broken = f"not completed within {_ENDED_WITHIN_S:.0f} s: {row}"
                return
            time.sleep(0.02)
        strike.recovery_s = idle or None

    def _cure(self, job_id: str) -> bool:
        """Do what the error says, and retry the job. False for a failure that names no cure: the job is lost."""
        job = self._ask("GET", f"/jobs/{job_id}").json()
        if job["state"] != State.FAILED:
            return False
        error = job["error"]
        _say(f"{self.outcome.installation} {job_id}: {error['code']}: {error['detail']}")
        if error["code"] not in _CURABLE:
            self._lose(job_id, f"{error['code']}: {error['detail']}")
            return False
        if error["code"] == "damaged":
            self.work.upload(self.work.kind_of(job_id))
        self._ask("POST", f"/jobs/{job_id}/retry")
        # A job that began later finds a damaged dataset, too.
        struck = [strike for strike in self.outcome.strikes if job_id in strike.jobs] or self.outcome.strikes
        struck[-1].told = True
        return True

    def _ask(self, method: str, path: str) -> httpx.Response:
        """The answer, once the API gives one that is no failure of its own."""
        deadline = time.monotonic() + _RECOVERED_WITHIN_S
        while True:
            try:
                answer = self.stack.client.request(method, path)
            except httpx.TransportError:
                assert time.monotonic() < deadline, path
            else:
                if answer.status_code < 500 or time.monotonic() > deadline:
                    return answer
            time.sleep(0.1)

    def _lose(self, job_id: str, why: str) -> None:
        self.outcome.lost[job_id] = why
        if job_id in self.flying:
            self.flying.remove(job_id)

    def _kind(self, fault: Fault, drawn_kinds: Iterator[Kind]) -> Kind:
        if fault.job:
            return next(kind for kind in self.work.kinds if kind.name == fault.job)
        return next(drawn_kinds)

    def _submit(self, kind: Kind) -> str:
        job_id = self.work.submit(kind)
        self.flying.append(job_id)
        self.begun[job_id] = time.monotonic()
        return job_id

    def _job_in(self, turn: Turn, drawn_kinds: Iterator[Kind]) -> tuple[str, Part]:
        deadline = time.monotonic() + _ENDED_WITHIN_S
        is_ready = turn.fault.ready or (lambda _stack, _job_id: True)
        while time.monotonic() < deadline:
            rows = {one.id: one for one in self.stack.rows() or ()}
            there = [rows[job_id] for job_id in self.flying if job_id in rows and rows[job_id].state not in ENDED]
            fitting = [one for one in there if not turn.fault.job or self.work.kind_of(one.id).name == turn.fault.job]
            # Workers help where they have no job of their own.
            if len(there) < (1 if turn.fault.ready else _AT_ONCE) or not fitting:
                self._harvest()
                self._submit(self._kind(turn.fault, drawn_kinds))
                continue
            if found := [one for one in fitting if one.state == turn.phase and is_ready(self.stack, one.id)]:
                # Somewhere in the phase, not always at its beginning.
                time.sleep(0 if turn.fault.ready else self.drawn.uniform(0, 0.25))
                row = self.stack.row(found[0].id)
                worker = self.stack.worker_of(row)
                if row is not None and worker is not None and row.state == turn.phase:
                    return row.id, worker
            time.sleep(0.01)
        raise TimeoutError(f"no job came to {turn.phase}")

    def _harvest(self) -> None:
        """Compare the rankings of the jobs that have completed, and delete some of these jobs."""
        rows = {one.id: one for one in self.stack.rows() or ()}
        for job_id in list(self.flying):
            row = rows.get(job_id)
            if row is None and rows:
                self._lose(job_id, "it is gone")
            elif row is not None and row.state == State.FAILED:
                self._cure(job_id)
            elif row is not None and row.state == State.CANCELLED:
                self._lose(job_id, "cancelled, and nobody asked for that")
            elif row is not None and row.state == State.COMPLETED:
                self.flying.remove(job_id)
                self.outcome.compared += 1
                if self.work.ranking(job_id) != self.work.rankings[self.work.kind_of(job_id).name]:
                    self.outcome.wrong.add(job_id)
                else:
                    self._keep_or_delete(job_id)

    def _keep_or_delete(self, job_id: str) -> None:
        """Delete some jobs at once, and the others later: a small disk has no room for all jobs of a long campaign."""
        self.kept.append(job_id)
        if self.drawn.random() < _DELETED_AT_ONCE:
            self._ask("DELETE", f"/jobs/{self.kept.pop()}")
        elif len(self.kept) > _KEPT:
            self._ask("DELETE", f"/jobs/{self.kept.pop(0)}")


def _moved(before: JobRow | None, now: JobRow, *, takes_worker: bool) -> bool:
    """Whether a job shows a sign of life since; from another worker where its own was taken."""
    if now.state in ENDED:
        return now.state == State.COMPLETED
    if before is None:
        return now.lease_until is not None
    if takes_worker:
        return now.owner is not None and now.owner != before.owner
    return now.lease_until is not None and (now.owner, now.lease_until) != (before.owner, before.lease_until)


def run(
    installation: str, count: int, seed: int, *, workers: int = 3, tables: int = 3, names: Sequence[str] = ()
) -> Outcome:
    """A whole campaign on an installation of its own; with `names`, of these faults alone."""
    outcome = Outcome(installation)
    with running(installation, workers) as stack:
        outcome.left_out = stack.left_out
        faults = [fault for fault in possible(stack) if not names or fault.name in names]
        work = Workload(
            stack,
            kinds(
                tables,
                with_texts=any(fault.job == "texts" for fault in faults),
                with_embeddings=any(fault.job == "embeddings" for fault in faults),
            ),
        )
        work.prepare()
        campaign = Campaign(work, random.Random(seed), outcome)
        try:
            campaign.run(schedule(faults, count, campaign.drawn))
        except (TimeoutError, httpx.HTTPError, sa.exc.SQLAlchemyError, SuspectsError, AssertionError) as error:
            # What was found until then is told.
            outcome.ended_early = repr(error)
            traceback.print_exc()
        for part in (*stack.workers, stack.api):
            part.kill()
        if not outcome.lost:
            _collect(stack)
            outcome.orphans = orphans(work)
        stack.is_kept = not outcome.is_clean()
        if stack.is_kept:
            _say(f"{installation}: the logs stay in {stack.folder / 'logs'}")
    return outcome


def _collect(stack: Stack) -> None:
    """What the service does once an hour, with hardly any grace: whoever wrote these files is dead."""
    services = create_app(stack.settings.model_copy(update={"collect_after_seconds": _GRACE_S})).state.services
    collect(services)
    for home in set(stack.homes.values()) if stack.store is not None else ():
        with services.database.read() as connection:  # as the workers of each host do
            tidy(connection, open_blobs(stack.settings.model_copy(update={"home": home})), services.now())
    services.queue.close()
    services.database.close()


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
