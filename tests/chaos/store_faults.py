"""Faults of the artefact store, an S3 server, and of the objects that it keeps."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from service.domain.job import State
from service.store.units import Units
from tests.chaos.scene import PAST_THE_LEASE_S, Acts, Fault, Scene
from tests.chaos.servers import SeaweedFS, children, kill
from tests.damage import cut_short, flip_bit

_DEAD_WITHIN_S = 2.0
Damage = Callable[[Path, float], None]


def damage_one(scene: Scene, names: list[str], damage: Damage) -> None:
    """Damage one of these files, which the installation keeps in its data folder or in the store."""
    name, place = scene.drawn.choice(names), scene.drawn.uniform(0, 0.999)
    if scene.stack.store is None:
        damage(scene.stack.settings.home / name, place)
        return
    cache = scene.stack.blobs.cache
    assert cache is not None
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "object")
        cache.store.get({name: copy})
        if copy.stat().st_size:
            damage(copy, place)
            cache.store.put({name: copy})


def _store(scene: Scene) -> SeaweedFS:
    assert scene.stack.store is not None
    return scene.stack.store


def _killed(scene: Scene) -> Acts:
    _store(scene).kill()
    yield None
    _store(scene).start()
    yield None


def _away(scene: Scene) -> Acts:
    _store(scene).kill()
    yield None
    time.sleep(scene.drawn.uniform(2, PAST_THE_LEASE_S))
    _store(scene).start()
    yield None


def _stopped(scene: Scene) -> Acts:
    """The store takes requests, and answers none, for longer than a lease."""
    _store(scene).pause()
    yield None
    time.sleep(PAST_THE_LEASE_S)
    _store(scene).resume()
    yield None


def _killed_with_a_worker(scene: Scene) -> Acts:
    """While the store is away the worker of the job dies, too, with what it had not stored."""
    _store(scene).kill()
    scene.worker.kill()
    yield None
    scene.worker.start()
    time.sleep(scene.drawn.uniform(2, PAST_THE_LEASE_S))
    _store(scene).start()
    yield None


def _object_damaged(prefix: Callable[[Scene], str], damage: Damage) -> Callable[[Scene], Acts]:
    """An object is damaged, the worker's child dies, and every copy on a host is gone that nobody uses: the next attempt fetches it."""

    def acts(scene: Scene) -> Acts:
        folder = prefix(scene)
        if found := sorted(scene.stack.blobs.stored(Path(scene.stack.blobs.home, folder))):
            damage_one(scene, found, damage)
        for child in children(scene.worker.pid):
            kill(child)
        _evict(scene, folder)
        yield None
        yield None

    return acts


def _evict(scene: Scene, folder: str) -> None:
    kind, name, *_ = folder.split("/")
    deadline = time.monotonic() + _DEAD_WITHIN_S
    # The API keeps what it has, as where it shows the samples: its copy is sound.
    waiting = {home for part, home in scene.stack.homes.items() if part != "api"}
    while waiting and time.monotonic() < deadline:
        for home in sorted(waiting):
            with Units(home).alone(home / kind / name) as free:
                if free:
                    shutil.rmtree(home / kind / name, ignore_errors=True)
                    waiting.discard(home)
        time.sleep(0.05)


def _dataset(scene: Scene) -> str:
    return f"datasets/{scene.work.datasets[scene.kind.name]}"


def _checkpoints(scene: Scene) -> str:
    return f"jobs/{scene.job_id}/checkpoints"


_S3 = frozenset({"s3"})
_WITH_CHECKPOINTS = (State.TRAINING, State.SCORING, State.RANKING)

STORE_FAULTS = [
    # The lease is renewed meanwhile: what counts is that the job completes, and for how long nobody computed it.
    Fault("kill -9 of the artefact store", _killed, needs=_S3, damages=True),
    Fault("artefact store away for 2 to 6 s", _away, needs=_S3, damages=True),
    Fault("artefact store stopped past the lease", _stopped, needs=_S3, damages=True),
    Fault("kill -9 of a worker and the artefact store", _killed_with_a_worker, needs=_S3, damages=True),
    *(
        Fault(f"{what} in the store {how}, worker killed", _object_damaged(prefix, damage), phases, _S3, damages=True)
        for what, prefix, phases in (
            ("dataset", _dataset, (State.QUEUED, State.PREPARING, State.TRAINING)),
            ("checkpoint", _checkpoints, _WITH_CHECKPOINTS),
        )
        for how, damage in (("with a flipped bit", flip_bit), ("cut short", cut_short))
    ),
]
