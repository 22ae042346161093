"""The faults of a campaign. Each is a generator of three acts, with a pause after the first two.

First it strikes. After the second act recovery is counted: whatever was taken away is there again, or another part can do its
work. The third act, after recovery, puts the installation back. What the second pause is given is asked, too, before the
installation counts as recovered.
"""

import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import redis
import sqlalchemy as sa
from celery import Celery

from service.domain.job import State
from service.settings import JOB_TASK, broker_options
from service.store import leases
from service.store.tables import jobs
from tests.chaos.scene import COMPUTED, PAST_THE_LEASE_S, Acts, Fault, Scene
from tests.chaos.servers import children, kill
from tests.chaos.sharing_faults import SHARING_FAULTS
from tests.chaos.stack import LEASE_S
from tests.chaos.store_faults import STORE_FAULTS
from tests.damage import cut_short, flip_bit

_HOUR = 3600


def _worker_killed(scene: Scene) -> Acts:
    scene.worker.kill()
    yield None
    scene.worker.start()
    yield None


def _child_killed(scene: Scene) -> Acts:
    for child in children(scene.worker.pid):
        kill(child)
    yield None
    yield None


def _answering(scene: Scene) -> None:
    """Kill the process of the API that answers; its parent starts another."""
    kill(children(scene.stack.api.pid)[0])


def _parent(scene: Scene) -> None:
    """Kill the parent, which must take the process that answers along."""
    scene.stack.api.kill_alone()


def _api_killed(kill_one: Callable[[Scene], None]) -> Callable[[Scene], Acts]:
    def acts(scene: Scene) -> Acts:
        kill_one(scene)
        yield None
        scene.stack.api.start()
        yield scene.stack.answers

    return acts


def _api_killed_in_an_upload(kill_one: Callable[[Scene], None]) -> Callable[[Scene], Acts]:
    """A client that gets no answer asks again with the same key: that makes one job."""

    def acts(scene: Scene) -> Acts:
        sender = scene.work.upload_in_vain()
        asking = threading.Thread(target=scene.work.submit_upload, args=[scene.kind], daemon=True)
        asking.start()
        time.sleep(scene.drawn.uniform(0.2, 1.5))
        kill_one(scene)
        yield None
        scene.stack.api.start()
        yield scene.stack.answers
        sender.join()
        asking.join()

    return acts


def _broker_killed(scene: Scene) -> Acts:
    scene.stack.broker.kill()
    yield None
    scene.stack.broker.start()
    yield None


def _broker_away(scene: Scene) -> Acts:
    scene.stack.broker.kill()
    yield None
    time.sleep(scene.drawn.uniform(2, 5))
    scene.stack.broker.start()
    yield None


def _broker_emptied(scene: Scene) -> Acts:
    scene.stack.broker.empty()
    yield None
    yield None


def _postgres_killed(scene: Scene) -> Acts:
    assert scene.stack.postgres is not None
    scene.stack.postgres.kill()
    yield None
    scene.stack.postgres.start()
    yield None


def _database_away(scene: Scene) -> Acts:
    """PostgreSQL is ended, and SQLite is locked by a transaction, for seconds."""
    seconds, postgres = scene.drawn.uniform(2, 6), scene.stack.postgres
    if postgres is not None:
        postgres.signal(signal.SIGQUIT)
        yield None
        time.sleep(seconds)
        postgres.kill()
        postgres.start()
    else:
        with scene.stack.database.write() as connection:
            connection.execute(sa.text("SELECT 1"))
            yield None
            time.sleep(seconds)
    yield None


def _database_hangs(scene: Scene) -> Acts:
    assert scene.stack.postgres is not None
    scene.stack.postgres.pause()
    yield None
    time.sleep(scene.drawn.uniform(2, 6))
    scene.stack.postgres.resume()
    yield None


def _disk_full(scene: Scene) -> Acts:
    disk = scene.stack.disk
    assert disk is not None
    disk.fill()
    yield None
    time.sleep(scene.drawn.uniform(0.5, 3))
    disk.make_room()
    yield None


def _worker_stopped(scene: Scene) -> Acts:
    """A worker stands still past its lease, then goes on as if nothing had been."""
    scene.stack.pause([scene.worker])
    yield None
    yield None
    scene.worker.resume()


def _worker_stopped_in_a_transaction(scene: Scene) -> Acts:
    """A worker stands still with the row of its job locked, which another one needs to claim the job."""
    postgres, database = scene.stack.postgres, scene.stack.database
    assert postgres is not None
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE jobs%'"
    )
    deadline = time.monotonic() + PAST_THE_LEASE_S
    with database.write() as connection:
        connection.execute(sa.select(jobs.c.id).where(jobs.c.id == scene.job_id).with_for_update())
        with database.read() as watching:
            while not watching.execute(waiting).scalar_one() and time.monotonic() < deadline:
                time.sleep(0.01)
        scene.worker.pause()
    yield None
    yield None
    scene.worker.resume()


def _two_claimants(scene: Scene) -> Acts:
    """The lease of a worker that lives is ended, and another claims the job at once while the first computes it."""
    with scene.stack.database.write() as connection:
        for held in leases.held(connection):
            if held.job_id == scene.job_id:
                leases.end(connection, held, datetime.now(UTC))
    _send(scene, 1)
    yield None
    yield None


def _message_repeated(scene: Scene) -> Acts:
    _send(scene, 5)
    yield None
    yield None


def _send(scene: Scene, times: int) -> None:
    sender = Celery("chaos", broker=scene.stack.broker.url, set_as_current=False)
    sender.conf.update(broker_transport_options=broker_options(), task_ignore_result=True)
    for _ in range(times):
        sender.send_task(JOB_TASK, args=[scene.job_id], queue="cpu", retry=False)
    sender.close()


def _clock(seconds: int, who: str) -> Callable[[Scene], Acts]:
    def acts(scene: Scene) -> Acts:
        names = [scene.worker.name] if who == "worker" else ["api"] if who == "api" else list(scene.stack.clocks)
        for name in names:
            scene.stack.clocks[name].jump(seconds)
        yield None
        yield None
        time.sleep(scene.drawn.uniform(0, LEASE_S))
        for name in names:
            scene.stack.clocks[name].jump(0)

    return acts


def _host_cut(scene: Scene) -> Acts:
    """The host of a worker is cut off past the lease; another worker takes the job."""
    host = scene.stack.hosts[scene.stack.workers.index(scene.worker)]
    host.cut()
    yield None
    yield None
    time.sleep(max(0.0, PAST_THE_LEASE_S - LEASE_S))
    host.mend()


def _all_hosts_cut(scene: Scene) -> Acts:
    for host in scene.stack.hosts:
        host.cut()
    yield None
    time.sleep(scene.drawn.uniform(1, PAST_THE_LEASE_S))
    for host in scene.stack.hosts:
        host.mend()
    yield None


def _broker_replaced_while_cut(scene: Scene) -> Acts:
    """The broker dies while a host is cut off: the host hears nothing of it, and must find out by itself."""
    host = scene.stack.hosts[scene.stack.workers.index(scene.worker)]
    host.cut()
    scene.stack.broker.kill()
    yield None
    scene.stack.broker.start()
    time.sleep(PAST_THE_LEASE_S)
    host.mend()
    yield lambda: _listens(scene)


def _database_replaced_while_cut(scene: Scene) -> Acts:
    """The database's host is lost with questions on their way, and another takes its address: nobody is told."""
    postgres = scene.stack.postgres
    assert postgres is not None
    postgres.pause()
    time.sleep(1.5)  # longer than a heartbeat: each process waits for an answer
    for host in scene.stack.hosts:
        host.cut()
    postgres.kill()
    yield None
    postgres.start()
    for host in scene.stack.hosts:
        host.mend()
    yield None


def _listens(scene: Scene) -> bool:
    """Whether the worker waits for messages of the broker that runs now."""
    number = scene.stack.workers.index(scene.worker)
    address = scene.stack.hosts[number].address
    try:
        with redis.Redis.from_url(scene.stack.broker.url) as broker:
            clients = broker.client_list()
    except redis.RedisError:
        return False
    return any(one["addr"].startswith(f"{address}:") and one["cmd"] == "brpop" for one in clients)


def _damaged(
    what: Callable[[Scene], list[Path]], damage: Callable[[Path, float], None], *, killing: bool = False
) -> Callable[[Scene], Acts]:
    """A file is damaged; with `killing`, the process that works with it dies, so that another one reads it."""

    def acts(scene: Scene) -> Acts:
        found = [one for one in what(scene) if one.exists() and one.stat().st_size > 0]
        if found:
            damage(scene.drawn.choice(found), scene.drawn.uniform(0, 0.999))
        for child in children(scene.worker.pid) if killing else ():
            kill(child)
        yield None
        yield None

    return acts


def _checkpoints(scene: Scene) -> list[Path]:
    folder = scene.home / "jobs" / scene.job_id / "checkpoints"
    return sorted(folder.glob("*.pt"))


def _features(scene: Scene) -> list[Path]:
    return sorted((scene.home / "features").glob("*/*.npy"))


def _canonical(scene: Scene) -> list[Path]:
    return [scene.home / "datasets" / scene.work.datasets[scene.kind.name] / "data.parquet"]


_POSTGRESQL, _DISK, _NETWORK, _CLOCK = (frozenset({name}) for name in ("postgresql", "disk", "network", "clock"))
_WITH_CHECKPOINTS = (State.TRAINING, State.SCORING)

FAULTS = [
    Fault("kill -9 of a worker", _worker_killed, takes_worker=True),
    Fault("kill -9 of a worker's child", _child_killed, takes_worker=True),
    Fault("kill -9 of the API's answering process", _api_killed(_answering)),
    Fault("kill -9 of the API's answering process in an upload", _api_killed_in_an_upload(_answering)),
    Fault("kill -9 of the API's parent", _api_killed(_parent)),
    Fault("kill -9 of the API's parent in an upload", _api_killed_in_an_upload(_parent)),
    Fault("kill -9 of the broker", _broker_killed),
    Fault("broker away for 2 to 5 s", _broker_away),
    Fault("broker emptied", _broker_emptied),
    Fault("kill -9 of PostgreSQL", _postgres_killed, needs=_POSTGRESQL),
    Fault("database away for 2 to 6 s", _database_away),
    Fault("database hangs for 2 to 6 s", _database_hangs, needs=_POSTGRESQL),
    Fault("disk full", _disk_full, needs=_DISK),
    *(
        Fault(
            f"checkpoint {how}{', worker killed' if killing else ''}",
            _damaged(_checkpoints, damage, killing=killing),
            _WITH_CHECKPOINTS,
            takes_worker=killing,
            damages=not killing,
        )
        for how, damage in (("with a flipped bit", flip_bit), ("cut short", cut_short))
        for killing in (False, True)
    ),
    Fault("features with a flipped bit", _damaged(_features, flip_bit), damages=True, job="texts"),
    Fault("features cut short", _damaged(_features, cut_short), damages=True, job="texts"),
    Fault("dataset with a flipped bit", _damaged(_canonical, flip_bit), damages=True),
    Fault("dataset cut short", _damaged(_canonical, cut_short), damages=True),
    Fault("clock of a worker an hour ahead", _clock(_HOUR, "worker"), needs=_CLOCK),
    Fault("clock of a worker an hour back", _clock(-_HOUR, "worker"), needs=_CLOCK),
    Fault("clock of the API an hour ahead", _clock(_HOUR, "api"), needs=_CLOCK),
    Fault("clock of the API an hour back", _clock(-_HOUR, "api"), needs=_CLOCK),
    Fault("clocks of all ten days ahead", _clock(240 * _HOUR, "all"), needs=_CLOCK),
    Fault("worker stopped past its lease", _worker_stopped, COMPUTED, takes_worker=True),
    Fault(
        "worker stopped in a transaction", _worker_stopped_in_a_transaction, COMPUTED, _POSTGRESQL, takes_worker=True
    ),
    Fault("two claimants at once", _two_claimants, COMPUTED, takes_worker=True),
    Fault("message sent five times more", _message_repeated),
    Fault("host of a worker cut off past the lease", _host_cut, COMPUTED, _NETWORK, takes_worker=True),
    Fault("all hosts of workers cut off for 1 to 6 s", _all_hosts_cut, needs=_NETWORK),
    Fault("broker dies while a host is cut off", _broker_replaced_while_cut, needs=_NETWORK),
    Fault("database dies while hosts wait for it, cut off", _database_replaced_while_cut, needs=_POSTGRESQL | _NETWORK),
    *SHARING_FAULTS,
    *STORE_FAULTS,
]
