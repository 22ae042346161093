"""Faults of helpers: workers that compute blocks of another worker's scoring, their files and their messages."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import redis
import sqlalchemy as sa

from service.domain.job import State
from service.settings import HELP_QUEUE
from service.store.blobs import SHARED_FOLDER
from service.store.tables import blocks
from tests.chaos.part import Part
from tests.chaos.scene import PAST_THE_LEASE_S, Acts, Fault, Scene
from tests.chaos.stack import Stack
from tests.chaos.store_faults import damage_one
from tests.damage import cut_short, flip_bit

_HELPED_WITHIN_S = 2.0  # less than a lease
_LOST_FOR_S = 1.0  # the worker of a job calls every half second


def _taken(stack: Stack, job_id: str) -> list[sa.Row[tuple[object, ...]]]:
    """The blocks of a job that helpers compute now; none where the database does not answer."""
    wanted = blocks.select().where(blocks.c.job_id == job_id, blocks.c.helper.is_not(None), ~blocks.c.done)
    try:
        with stack.database.read() as connection:
            return list(connection.execute(wanted))
    except sa.exc.DBAPIError:
        return []


def _is_helped(stack: Stack, job_id: str) -> bool:
    return bool(_taken(stack, job_id))


def _is_offered(stack: Stack, job_id: str) -> bool:
    with stack.database.read() as connection:
        offered = blocks.select().where(blocks.c.job_id == job_id, blocks.c.helper.is_(None))
        return connection.execute(offered.limit(1)).first() is not None


def _helper_in_a_block(scene: Scene, strike: Callable[[Part], None]) -> tuple[Part, str] | None:
    """Strike a helper, and give it with the name by which it holds a block; None where nobody helps any more."""
    deadline = time.monotonic() + PAST_THE_LEASE_S
    while time.monotonic() < deadline:
        for row in _taken(scene.stack, scene.job_id):
            helper = scene.stack.worker_named(row.helper)
            if helper is None or helper is scene.worker:
                continue
            strike(helper)
            # It may have finished the block before it was struck.
            if any(one.helper == row.helper for one in _taken(scene.stack, scene.job_id)):
                return helper, row.helper
            helper.resume() if helper.lives else helper.start()
        time.sleep(0.005)
    return None


def _is_given_up(scene: Scene, helper: str) -> bool:
    """Whether nobody waits for this helper any longer."""
    return all(row.helper != helper for row in _taken(scene.stack, scene.job_id))


def _helper_killed(scene: Scene) -> Acts:
    found = _helper_in_a_block(scene, Part.kill)
    if found is None:
        return
    yield None
    found[0].start()
    yield lambda: _is_given_up(scene, found[1])


def _helper_stopped(scene: Scene) -> Acts:
    """A helper stands still past its lease, then goes on with its block as if nothing had been."""
    found = _helper_in_a_block(scene, lambda helper: scene.stack.pause([helper]))
    began = time.monotonic()
    if found is None:
        return
    yield None
    yield lambda: _is_given_up(scene, found[1])
    time.sleep(max(0.0, began + PAST_THE_LEASE_S - time.monotonic()))
    found[0].resume()


def _block_damaged(damage: Callable[[Path, float], None]) -> Callable[[Scene], Acts]:
    """While the worker of the job stands still, helpers finish blocks; one of their files is damaged before it goes on."""

    def acts(scene: Scene) -> Acts:
        scene.stack.pause([scene.worker])
        deadline = time.monotonic() + _HELPED_WITHIN_S
        found: list[str] = []
        while not found and time.monotonic() < deadline:
            time.sleep(0.01)
            found = sorted(_blocks(scene))
        if found:
            damage_one(scene, found, damage)
        scene.worker.resume()
        if not found:
            return
        yield None
        yield None

    return acts


def _blocks(scene: Scene) -> Iterator[str]:
    folder = f"jobs/{scene.job_id}/{SHARED_FOLDER}/"
    return (one for one in scene.stack.names() if one.startswith(folder) and one.endswith(".block"))


def _messages_lost(scene: Scene) -> Acts:
    """Each message that calls for help is lost for a second, while those who could help stand still."""
    others = [one for one in scene.stack.workers if one is not scene.worker]
    scene.stack.pause(others)
    deadline = time.monotonic() + _LOST_FOR_S
    with redis.Redis.from_url(scene.stack.broker.url) as broker:
        while time.monotonic() < deadline:
            # One queue for each priority.
            for name in broker.keys(f"{HELP_QUEUE}*"):
                broker.delete(name)
            time.sleep(0.01)
    for one in others:
        one.resume()
    yield None
    yield None


_SCORING = (State.SCORING,)

SHARING_FAULTS = [
    Fault("kill -9 of a helper in a block", _helper_killed, _SCORING, job="embeddings", ready=_is_helped),
    Fault("helper stopped past its lease", _helper_stopped, _SCORING, job="embeddings", ready=_is_helped),
    Fault("block with a flipped bit", _block_damaged(flip_bit), _SCORING, job="embeddings", ready=_is_helped),
    Fault("block cut short", _block_damaged(cut_short), _SCORING, job="embeddings", ready=_is_helped),
    Fault("calls for help lost for 1 s", _messages_lost, _SCORING, job="embeddings", ready=_is_offered),
]
