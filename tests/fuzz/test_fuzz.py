"""A few hostile files for every reader; `make fuzz` reads thousands."""

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from service.ingest.detect import READERS
from tests.fuzz.campaign import read, run
from tests.fuzz.quines import gzip_quine, zip_quine
from tests.fuzz.seed import Seed
from tests.fuzz.seeds import SEEDS
from tests.fuzz.sources import SOURCES, TRAPS, Source, shares
from tests.fuzz.trap import Trap

_SMALL = [one for one in TRAPS if not one.is_large]
_LARGE = [one for one in TRAPS if one.is_large]


def _outcomes(source: Source, numbers: range, folder: Path) -> dict[int, str]:
    """What became of files that were neither read nor refused."""
    outcomes = {number: read(source, source.file(number), folder) for number in numbers}
    return {number: one for number, one in outcomes.items() if one not in ("read", "refused")}


def test_every_reader_has_a_good_file_that_is_read_and_a_trap(tmp_path: Path) -> None:
    assert {seed.reader for seed in SEEDS} == {trap.reader for trap in TRAPS} == {*READERS, "network"}
    assert {seed.filename: read(seed, seed.content, tmp_path) for seed in SEEDS} == {
        seed.filename: "read" for seed in SEEDS
    }


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.filename)
def test_a_damaged_file_is_read_or_refused(seed: Seed, tmp_path: Path) -> None:
    assert _outcomes(seed, range(40), tmp_path) == {}


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's of damaged pictures
@pytest.mark.parametrize("trap", _SMALL, ids=lambda trap: trap.name)
def test_a_hostile_file_is_read_or_refused(trap: Trap, tmp_path: Path) -> None:
    assert _outcomes(trap, range(12), tmp_path) == {}


@pytest.mark.parametrize("trap", _LARGE, ids=lambda trap: trap.name)
def test_a_large_hostile_file_is_read_or_refused_within_limits(trap: Trap) -> None:
    tally = run(trap, 3)
    assert tally.failed == {}
    assert tally.files == 3


def test_files_are_read_in_a_process_that_is_watched() -> None:
    tally = run(SEEDS[0], 20)
    assert tally.failed == {}
    assert tally.read + tally.refused == 20
    assert tally.peak_mib > 0


def test_the_same_number_makes_the_same_file_and_another_another() -> None:
    for seed in SEEDS:
        assert seed.file(3) == seed.file(3)
        assert len({seed.file(number) for number in range(20)}) > 10
    for trap in _SMALL:
        assert trap.file(3) == trap.file(3)


def test_a_campaign_reads_as_many_files_with_every_reader_and_some_of_every_kind() -> None:
    found = shares(20_000)
    assert set(found) == set(SOURCES)
    assert all(found.values())
    for reader in (*READERS, "network"):
        assert sum(count for name, count in found.items() if SOURCES[name].reader == reader) == 20_000


def test_a_quine_holds_itself() -> None:
    assert gzip.decompress(gzip_quine()) == gzip_quine()
    for name in ("images.zip", "a.csv"):
        with zipfile.ZipFile(io.BytesIO(zip_quine(name))) as archive:
            assert archive.read(name) == zip_quine(name)
