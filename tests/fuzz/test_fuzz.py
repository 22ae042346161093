"""A few damaged files for every reader; `make fuzz` reads thousands."""

from pathlib import Path

import pytest

from service.ingest.detect import READERS
from tests.fuzz.campaign import read, run
from tests.fuzz.damage import damaged
from tests.fuzz.seeds import SEEDS, Seed


def test_every_reader_has_a_good_file_that_is_read(tmp_path: Path) -> None:
    assert {seed.reader for seed in SEEDS} == set(READERS)
    assert {seed.filename: read(seed, seed.content, tmp_path) for seed in SEEDS} == {
        seed.filename: "read" for seed in SEEDS
    }


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.filename)
def test_a_damaged_file_is_read_or_refused(seed: Seed, tmp_path: Path) -> None:
    outcomes = {number: read(seed, damaged(seed, number), tmp_path) for number in range(40)}
    assert {number: one for number, one in outcomes.items() if one not in ("read", "refused")} == {}


def test_files_are_read_in_a_process_that_is_watched() -> None:
    tally = run(SEEDS[0], 20)
    assert tally.failed == {}
    assert tally.read + tally.refused == 20
    assert tally.peak_mib > 0


def test_the_same_number_makes_the_same_file_and_another_another() -> None:
    for seed in SEEDS:
        assert damaged(seed, 3) == damaged(seed, 3)
        assert len({damaged(seed, number) for number in range(20)}) > 10
