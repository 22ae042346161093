"""SVMlight and LIBSVM text: sparse rows become dense ones."""

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import dump_svmlight_file

from service.domain.errors import Invalid, TooLarge
from tests.unit.ingest.uploads import Take, zip_of

TEXT = "# made by hand\n+1 1:0.5 3:-2e1 # first\n-1 2:7\n\n+1 1:1\n-1\n+1 3:nan 2:1\n+1 2:0.25 3:4\n"


def test_what_a_row_leaves_out_is_zero(take: Take) -> None:
    outcome = take(TEXT, "a.svm")
    assert outcome.column("x1") == [0.5, 0, 1, 0, 0]
    assert outcome.column("x3") == [-20, 0, 0, 0, 4]
    assert outcome.labels == ["1", "-1", "1", "-1", "1"]
    assert [(row.where, row.reason) for row in outcome.skipped] == [
        ("line 7", "the indices do not grow from left to right")
    ]
    assert take(zip_of({"a.libsvm": TEXT.encode()}), "a.zip").table == outcome.table


@pytest.mark.parametrize("first", [0, 1])
def test_columns_are_called_by_their_index(take: Take, first: int) -> None:
    lines = [f"{i % 2} {first}:{i} {first + 2}:{i * i}" for i in range(12)]
    outcome = take("\n".join(lines), "data.txt", features=[f"x{first}", f"x{first + 2}"])
    assert outcome.column(f"x{first + 2}") == [i * i for i in range(12)]


def test_queries_are_a_column(take: Take) -> None:
    outcome = take(
        "".join(f"{i % 3} qid:{i // 4} 1:{i} 2:{i % 5}\n" for i in range(24)), "a.svm", features=["qid", "x1"]
    )
    assert outcome.column("qid") == [i // 4 for i in range(24)]


def test_many_columns_become_a_vector(take: Take) -> None:
    outcome = take("".join(f"{i % 2} 1:{i} 300:1.5\n" for i in range(12)), "a.svm")
    assert outcome.found.modality == "embedding"
    assert outcome.table["embedding"][3][:2] + outcome.table["embedding"][3][-1:] == [3, 0, 1.5]


def test_too_many_columns_are_refused_with_the_line_and_the_cure(take: Take) -> None:
    with pytest.raises(TooLarge, match=r"line 2 has the index 4,000,000;.*project"):
        take("1 1:1\n0 4000000:1\n1 2:1\n", "a.svm")


def test_rows_that_cannot_be_used_are_refused_with_the_fault_of_the_first(take: Take) -> None:
    with pytest.raises(Invalid, match="the first, line 1: the indices do not grow from left to right"):
        take("1 3:1 2:1\n0 3:1 2:1\n1 3:2 3:2\n", "a.svm")


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(2, 30),
    width=st.integers(2, 9),
    zero_based=st.booleans(),
)
def test_what_scikit_learn_writes_comes_back(take: Take, seed: int, rows: int, width: int, zero_based: bool) -> None:
    rng = np.random.default_rng(seed)
    table = np.where(rng.random((rows, width)) < 0.5, rng.normal(size=(rows, width)), 0)
    table[:, 0], table[0] = np.arange(1, rows + 1), np.arange(1, width + 1)
    table[-1, -1] = -7
    file = io.BytesIO()
    dump_svmlight_file(table, np.arange(rows) % 2, file, zero_based=zero_based)
    outcome = take(file.getvalue(), "a.svm")
    first = 0 if zero_based else 1
    for name in outcome.kinds:
        np.testing.assert_allclose(outcome.column(name), table[:, int(name[1:]) - first], rtol=1e-12)
    assert outcome.labels == [str(i % 2) for i in range(rows)]


def test_several_labels_of_a_row_are_no_class(take: Take) -> None:
    rows = [f"{n % 2}{',7' if n % 5 == 0 else ''} 1:{n} 2:{n % 4}\n" for n in range(20)]
    outcome = take("".join(rows), "leaves.svm")
    assert outcome.found.class_counts == {"0": 8, "1": 8}
    assert outcome.skipped[0].reason == "it has several labels, '0,7'; one class a row is expected"


def test_an_index_of_many_digits_costs_its_row_alone(take: Take) -> None:
    outcome = take(f"1 1:0.5\n0 {'1' * 40}:2\n0 1:1.5\n1 1:2\n", "rows.svm")
    assert [(row.index, row.reason[:12]) for row in outcome.skipped] == [(1, "'11111111111")]
    assert outcome.labels == ["1", "0", "1"]
