"""Columns of a ranking: places found by steps are those that counting finds."""

import tempfile
from pathlib import Path

import hypothesis
import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from service.store import ranking_columns, rankings
from service.store.engine import Database
from service.store.ranking_columns import RankingColumns
from service.store.tables import suspects
from tests.builders import dataset_info, ranking

STEP = 4
BY = "si"
NOWHERE = sa.create_engine("sqlite://")  # nothing is read from it


def made(scores: list[float | None], folder: Path) -> tuple[pa.Table, RankingColumns]:
    """A ranking with these scores by one signal, which is in steps of four."""
    rows = len(scores)
    table = ranking(dataset_info(rows=rows, splits={"train": rows}), [BY, "mislabeled", "anomalous"])
    table = table.set_column(table.schema.get_field_index(BY), BY, pa.array(scores, pa.float64()))
    ranking_columns.save(folder, table, [BY])
    with NOWHERE.connect() as connection:
        return table, ranking_columns.opened(connection, folder, "job_1")


# Few values, so that ties are longer than a step.
SCORES = st.lists(st.sampled_from([None, -1.5, 0.0, 0.25, 1.0, 3.0]), min_size=1, max_size=40)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(scores=SCORES, steps=st.booleans())
def test_ranks_and_counts_by_steps_are_those_of_sorting(scores: list[float | None], steps: bool) -> None:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking_columns, "_STEP", STEP)
        table, columns = made(scores, Path(name) / "ranking")
        if not steps:
            (columns.folder / f"steps-{BY}.npy").unlink()
        known = [(place, score) for place, score in enumerate(scores) if score is not None]
        ordered = sorted(known, key=lambda one: (-one[1], one[0]))
        for rank, (place, score) in enumerate(ordered, 1):
            assert columns.rank(BY, place, score) == rank
        least = [-2.0, -1.5, 0.0, 0.1, 0.25, 1.0, 3.0, 4.0]
        database = _with_table(table)
        with database.read() as connection:
            found = rankings.count_scoring(connection, "job_1", columns, BY, least)
        assert found == [sum(score >= value for _, score in known) for value in least]
        database.close()


def _with_table(table: pa.Table) -> Database:
    # One connection, because a database in memory is that of its connection.
    database = Database(sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool))
    suspects.create(database.engine)
    with database.engine.begin() as connection:
        rankings.save(connection, "job_1", table)
    return database


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(positions=st.permutations(range(12)), asked=st.lists(st.integers(0, 15), max_size=8))
def test_rows_are_found_by_their_position_whatever_its_order(positions: list[int], asked: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        table = ranking(dataset_info(rows=12, splits={"train": 12}), [BY])
        table = table.set_column(table.schema.get_field_index("position"), "position", pa.array(positions))
        ranking_columns.save(Path(name) / "ranking", table, [BY])
        with NOWHERE.connect() as connection:
            columns = ranking_columns.opened(connection, Path(name) / "ranking", "job_1")
        expected = [positions.index(position) for position in asked if position in positions]
        assert columns.rows_at_positions(asked).tolist() == expected
        assert np.asarray(columns.index[expected]).tolist() == expected
