"""Sharing of a job's scoring: nothing that happens to helpers, files, database or broker changes a bit or holds the job up."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sa
import torch

from service.domain.job import Progress, State
from service.settings import Settings
from service.store import blocks, jobs, leases, workers
from service.store.artefact_cache import ArtefactCache
from service.store.artefact_store import ArtefactStore
from service.store.blobs import Blobs
from service.store.blocks import HelpedBlock
from service.store.clock import database_time
from service.store.engine import Database, open_database
from service.store.jobs import Claim, LeaseLost
from service.store.tables import blocks as table
from service.store.workers import WorkerProcess
from tests.builders import LEASE, NOON, add_dataset, add_job
from tests.damage import cut_short, flip_bit
from worker.influence.row_computations import GRAIN, Arrays, Numbers, OfRows, Recipe, RowComputation
from worker.job.context import CheckpointLost, WorkerContext
from worker.job.helping import Helper
from worker.job.patience import Patience
from worker.job.shared_files import SharedFiles, kind_of_process
from worker.job.sharing import Sharing, rows_of_blocks
from worker.machine.devices import CPU
from worker.signals import shared_computations

ROWS = 6 * GRAIN + 100
VALUES = torch.arange(ROWS, dtype=torch.float32)


def opened(arrays: Arrays, numbers: Numbers) -> OfRows:
    return lambda rows: {"twice": arrays["values"][rows] * numbers["by"]}


def computation(label: str = "twice-0", seconds: float = 6.1) -> RowComputation:
    recipe = Recipe("twice", {"values": VALUES, "again": VALUES}, {"by": 2.0})
    return RowComputation(label, ROWS, seconds, lambda: opened(dict(recipe.arrays), recipe.numbers), recipe)


class Scene:
    """A claimed job with its worker, and helpers; `called` are the calls for help, `shares` what was reported."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        add_job(database, add_dataset(database))
        with database.write() as connection:
            held = jobs.claim(connection, "job_1", "worker-1", LEASE, NOON)
            assert held is not None
            for state in (State.TRAINING, State.SCORING):
                jobs.advance(connection, held, state, Progress(phase=state), NOON)
            for number in range(3):
                workers.record_process(connection, WorkerProcess(f"{number}", "w", "here"), database_time(connection))
        self.called: list[int] = []
        self.shares: list[float] = []
        self.now = 0.0
        self.database, self.blobs, self.held = database, blobs, held
        settings = Settings(home=blobs.home, share_seconds=1)
        self.context = WorkerContext(settings, database, blobs, CPU, lambda: False, lambda _, n: self.called.append(n))
        self.sharing = Sharing(held, self.context, lambda: self.now)

    def begin(self, label: str = "twice-0", seconds: float = 6.1) -> Callable[[], Arrays]:
        return self.sharing.begin(computation(label, seconds), self.report)

    def report(self, share: float) -> None:
        self.now += 1
        self.shares.append(share)

    def help(self, helper: Helper | None = None) -> bool:
        return (helper or Helper()).help_with("job_1", "1/helper", self.context)

    def take(self, helper: str = "1/silent") -> blocks.RowBlock:
        """Take a block and do nothing; the process of the helper is there, unless another one is named."""
        with self.database.write() as connection:
            found = blocks.help_with(connection, "job_1", kind_of_process(), helper)
        assert found is not None
        return found

    @property
    def folder(self) -> Path:
        return self.blobs.shared("job_1")

    def put_files_in_store(self, root: Path) -> Path:
        """Share by a store from now on; gives the folder in it."""
        home = self.blobs.home
        self.blobs = Blobs(home, ArtefactCache(home, ArtefactStore(f"file://{root}"), 2**30))
        self.context = replace(self.context, blobs=self.blobs)
        self.sharing = Sharing(self.held, self.context, lambda: self.now)
        return root / self.folder.relative_to(home)

    def assert_complete(self, found: Arrays) -> None:
        assert torch.equal(found["twice"], 2 * VALUES)
        assert self.shares == sorted(self.shares)
        assert self.shares[-1] == 1
        self.sharing.end()
        with self.database.read() as connection:
            assert connection.execute(table.select()).all() == []
        assert not self.folder.exists()


@pytest.fixture
def scene(empty_sqlite: str, blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setitem(shared_computations.OPENED_BY, "twice", opened)
    database = open_database(empty_sqlite)
    yield Scene(database, blobs)
    database.close()


def test_helpers_and_the_worker_of_the_job_compute_all_blocks_between_them(scene: Scene) -> None:
    arrays, helper = scene.begin(), Helper()
    # Of three processes, two have nothing to do.
    assert scene.called == [2]
    assert [scene.help(helper) for _ in range(3)] == [True] * 3
    assert len(list(scene.folder.glob("*/twice-0-*.block"))) == 3
    # An array that is there twice is written once.
    assert len(list(scene.folder.glob("*/*.npy"))) == 1
    scene.assert_complete(arrays())
    assert not scene.help(helper)


def test_a_computation_that_others_have_begun_is_ended_meanwhile(scene: Scene) -> None:
    first, second = scene.begin(), scene.begin(label="twice-1")
    # An array that both read is written once.
    assert len(list(scene.folder.glob("*/*.npy"))) == 1
    held = [scene.take() for _ in range(7)]
    assert {one.computation for one in held} == {"twice-0"}
    found = first()
    # While the first one's helpers were waited for, the second one was computed.
    assert torch.equal(found["twice"], 2 * VALUES)
    with scene.database.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 0
    assert torch.equal(second()["twice"], found["twice"])


def test_short_computations_and_those_that_cannot_be_shared_make_no_query_and_no_file(scene: Scene) -> None:
    scene.database.close()
    queries: list[object] = []
    sa.event.listen(scene.database.engine, "before_cursor_execute", lambda *found: queries.append(found))
    for one in (computation(seconds=0.5), RowComputation("other", ROWS, 60.0, computation().open)):
        assert torch.equal(scene.sharing.begin(one, scene.report)()["twice"], 2 * VALUES)
    scene.sharing.end()
    assert queries == []
    assert not scene.folder.exists()


def test_nothing_is_offered_where_no_other_worker_is_there(scene: Scene) -> None:
    with scene.database.write() as connection:
        for number in (1, 2):
            workers.remove_process(connection, f"{number}")
    assert torch.equal(scene.begin()()["twice"], 2 * VALUES)
    assert scene.called == []
    assert not scene.folder.exists()


@pytest.mark.parametrize(
    "damage",
    [
        flip_bit,
        partial(flip_bit, place=0.01),  # in the names and shapes of the arrays
        partial(flip_bit, place=1.0),  # in the digest
        cut_short,
        partial(cut_short, place=0.999),
        partial(cut_short, place=0.0),
        Path.unlink,
    ],
)
@pytest.mark.parametrize("in_store", [False, True])
def test_what_a_helper_computed_and_cannot_be_read_is_computed_again(
    scene: Scene, tmp_path: Path, damage: Callable[[Path], None], *, in_store: bool
) -> None:
    folder = scene.folder
    if in_store:
        folder = scene.put_files_in_store(tmp_path / "store")
    arrays = scene.begin()
    assert scene.help()
    damage(next(folder.glob("*/twice-0-*.block")))
    scene.assert_complete(arrays())
    assert scene.sharing._by_others == 0


def test_a_block_is_one_object_of_a_store_and_no_file_here(scene: Scene, tmp_path: Path) -> None:
    stored = scene.put_files_in_store(tmp_path / "store")
    arrays = scene.begin()
    before = set(stored.rglob("*"))
    assert scene.help()
    assert [one.suffix for one in set(stored.rglob("*")) - before] == [".block"]
    assert list(scene.folder.glob("*/*.block*")) == []
    scene.assert_complete(arrays())
    assert scene.sharing._by_others == 1
    assert not stored.exists()


def test_a_block_whose_helper_is_slow_is_computed_after_a_while(scene: Scene) -> None:
    arrays, block = scene.begin(), scene.take()
    scene.assert_complete(arrays())
    with scene.database.write() as connection:
        assert not blocks.finish(connection, block, "1/silent")


def test_a_helper_is_waited_for_while_other_blocks_are_computed_and_no_longer(scene: Scene) -> None:
    arrays = scene.begin()
    scene.take()
    scene.assert_complete(arrays())
    # What is reported while nothing is done is the same share once more.
    assert len(set(scene.shares)) == len(scene.shares)


def test_the_block_of_a_helper_that_is_gone_is_open_to_others_again(scene: Scene) -> None:
    arrays, block = scene.begin(), scene.take("gone/1")

    def report(share: float) -> None:
        scene.report(share)
        if len(scene.shares) == 1:
            taken.append(scene.take())

    taken: list[blocks.RowBlock] = []
    scene.sharing._offered["twice-0"].on_share = report
    next_open = scene.take()
    with scene.database.write() as connection:
        blocks.give_back(connection, next_open, "1/silent")
    scene.assert_complete(arrays())
    assert block.first < next_open.first
    # The worker of the job computed the block that was open again first, and the helper took the next one.
    assert taken == [next_open]


def test_a_helper_that_writes_nothing_of_itself_for_a_lease_is_gone(scene: Scene) -> None:
    patience = Patience(3.0, lambda: scene.now)
    block = blocks.RowBlock("job_1", "worker-1", "twice-0", 0, GRAIN)
    lives, silent = (HelpedBlock(block, f"{name}/1", done=False) for name in ("lives", "silent"))
    for second in range(8):
        scene.now = float(second)
        patience.note([lives, silent], {"lives": NOON + second * timedelta(seconds=1), "silent": NOON})
        assert patience.gone() == ([] if second <= 3 else [silent])
    patience.note([silent], {"silent": NOON - timedelta(days=1)})  # it goes on; clocks may have been set back
    assert patience.gone() == []
    patience.note([silent], {})
    assert patience.gone() == [silent]


def test_a_helper_is_slow_by_the_longest_block_that_was_computed_here(scene: Scene) -> None:
    patience = Patience(3.0, lambda: scene.now)
    held = HelpedBlock(blocks.RowBlock("job_1", "worker-1", "twice-0", 0, GRAIN), "lives/1", done=False)
    patience.computed(5.0)
    for second in (0, 14, 15, 16):
        scene.now = float(second)
        patience.note([held], {"lives": NOON})
        assert patience.slow() == ([] if second <= 15 else [held])


def test_a_helper_that_comes_too_late_leaves_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays, finish = scene.begin(), blocks.finish

    def late(connection: sa.Connection, block: blocks.RowBlock, helper: str) -> bool:
        blocks.remove(connection, block)
        return finish(connection, block, helper)

    monkeypatch.setattr(blocks, "finish", late)
    assert not scene.help()
    assert list(scene.folder.glob("*/*.block*")) == []
    scene.assert_complete(arrays())


def test_a_helper_that_writes_while_the_files_of_the_job_are_deleted_leaves_no_folder(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.begin()
    write = SharedFiles.write_block

    def late(files: SharedFiles, taken: HelpedBlock, found: Arrays) -> None:
        scene.sharing.end()
        files.folder.mkdir(parents=True)  # it had begun a file there, so that the folder stayed
        write(files, taken, found)

    monkeypatch.setattr(SharedFiles, "write_block", late)
    assert not scene.help()
    assert not scene.folder.exists()


def test_what_could_not_be_offered_is_removed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "is_held", lambda *_: False)
    assert torch.equal(scene.begin()()["twice"], 2 * VALUES)
    assert scene.folder.exists()
    scene.sharing.end()
    assert not scene.folder.exists()


def test_a_helper_that_helps_with_another_job_keeps_nothing_of_the_one_before(scene: Scene, tmp_path: Path) -> None:
    scene.put_files_in_store(tmp_path / "store")
    arrays = scene.begin()
    home = tmp_path / "other host"
    there = Blobs(home, ArtefactCache(home, ArtefactStore(f"file://{tmp_path / 'store'}"), 2**30))
    helper = Helper()
    with_others = replace(scene.context, blobs=there)
    assert helper.help_with("job_1", "1/helper", with_others)
    assert list(there.shared("job_1").glob("*/*.npy"))
    helper._helped.add("job_0")  # another one that it has helped with before
    earlier = there.shared("job_0") / "claim"
    earlier.mkdir(parents=True)
    with there.in_use(there.job("job_0")):
        assert helper.help_with("job_1", "1/again", with_others)
        assert earlier.exists()
    assert helper.help_with("job_1", "1/third", with_others)
    assert not there.shared("job_0").exists()
    assert list(there.shared("job_1").glob("*/*.npy"))
    scene.assert_complete(arrays())


def test_a_helper_that_fails_gives_its_block_back(scene: Scene) -> None:
    arrays = scene.begin()
    recipe = next(scene.folder.glob("*/twice-0.json"))
    content = recipe.read_bytes()
    recipe.unlink()
    assert not scene.help()
    with scene.database.read() as connection:
        assert blocks.helped(connection, scene.held) == []
    recipe.write_bytes(content)
    scene.assert_complete(arrays())


def test_without_the_database_all_blocks_are_computed_here(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = scene.begin()
    assert scene.help()

    def away(*_: object) -> None:
        raise sa.exc.OperationalError("SELECT", None, Exception("the server is away"))

    with monkeypatch.context() as patch:
        patch.setattr(blocks, "helped", away)
        found = arrays()
    scene.assert_complete(found)


def test_what_blocks_are_computed_from_is_written_again_where_it_is_damaged(scene: Scene) -> None:
    arrays = scene.begin()
    flip_bit(next(scene.folder.glob("*/*.npy")))
    assert not scene.help()
    with pytest.raises(CheckpointLost, match="damaged"):  # the job is queued again
        arrays()


def test_a_job_that_is_taken_away_stops_and_leaves_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = scene.begin()

    def lost(_share: float) -> None:
        raise LeaseLost("job_1")

    monkeypatch.setattr(scene.sharing._offered["twice-0"], "on_share", lost)
    with pytest.raises(LeaseLost):
        arrays()
    scene.sharing.end()
    assert not scene.folder.exists()
    following = Claim("job_1", "worker-2", 2)
    assert Sharing(following, scene.context)._files.folder != scene.sharing._files.folder


def test_blocks_depend_on_the_length_of_a_computation_alone() -> None:
    def rows(samples: int, seconds: float) -> int:
        open_ = computation().open
        return rows_of_blocks(RowComputation("x", samples, seconds, open_), 10.0)

    assert [rows(80_000, seconds) for seconds in (10.0, 30.0, 100.0)] == [3 * GRAIN, GRAIN, GRAIN]
    assert rows(1_000_000, 3_600.0) == 3 * GRAIN  # ten seconds
    assert rows(100_000_000, 1e6) == 10 * GRAIN  # ten thousand blocks


@pytest.mark.parametrize("in_store", [False, True])
def test_an_attempt_that_has_lost_its_job_leaves_what_the_next_one_shares(
    scene: Scene, tmp_path: Path, *, in_store: bool
) -> None:
    if in_store:
        scene.put_files_in_store(tmp_path / "store")
    stalled = scene.sharing
    scene.begin()
    with scene.database.write() as connection:
        assert [leases.end(connection, one, NOON) for one in leases.held(connection)] == [True]
        next_held = jobs.claim(connection, "job_1", "worker-2", LEASE, NOON + 2 * LEASE)
        assert next_held is not None
        for state in (State.TRAINING, State.SCORING):
            jobs.advance(connection, next_held, state, Progress(phase=state), NOON + 2 * LEASE)
    scene.held, scene.sharing = next_held, Sharing(next_held, scene.context, lambda: scene.now)
    arrays = scene.begin()
    stalled.begin(computation("twice-1"), scene.report)
    stalled.end()
    Sharing(stalled._claim, scene.context).begin(computation("twice-2"), scene.report)
    assert scene.help()
    found = arrays()
    assert scene.sharing._by_others == 1
    assert torch.equal(found["twice"], 2 * VALUES)
