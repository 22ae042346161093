"""Which column is what: said by the client, else inferred, and said back."""

from collections.abc import Callable

import pytest

from service.domain.errors import Invalid
from tests.unit.ingest.uploads import Take, csv_of, json_lines


def rows_of(*columns: str, rows: int = 12) -> str:
    """A table with these columns: `name=kind`, where the kind makes the values."""
    make: dict[str, Callable[[int], str]] = {
        "n": lambda i: f"{i * 0.5}",
        "int": lambda i: str(i % 4),
        "seq": lambda i: str(i),
        "word": lambda i: "abc"[i % 3],
        "two": lambda i: "pq"[i % 2],
        "uid": lambda i: f"u{i}",
        "split": lambda i: ["train", "Training", "TEST", "val", "dev", "train"][i % 6],
        "float": lambda i: f"{i / 7:.4f}",
    }
    pairs = [column.split("=") for column in columns]
    lines = [",".join(name for name, _ in pairs)]
    lines += [",".join(make[kind](i) for _, kind in pairs) for i in range(rows)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("columns", "label"),
    [
        (("a=n", "b=word", "target=two"), "target"),
        (("Label=two", "a=n", "b=word"), "Label"),
        (("a=n", "SPECIES=word", "b=two"), "SPECIES"),
        (("y=two", "a=n", "b=two"), "y"),
        (("a=n", "weak_label=word", "b=two"), "weak_label"),
        (("a=n", "b=float", "c=two"), "c"),
    ],
)
def test_the_label_is_found_by_name_or_else_last(take: Take, columns: tuple[str, ...], label: str) -> None:
    outcome = take(rows_of(*columns))
    assert outcome.found.inferred.label == label
    assert label not in outcome.kinds


def test_a_label_that_cannot_be_told_is_asked_for(take: Take) -> None:
    with pytest.raises(Invalid, match=r"spec\.label.*a, b, c") as caught:
        take(rows_of("a=word", "b=n", "c=float"))
    assert caught.value.errors[0].loc == ["spec", "label"]


def test_what_the_client_says_goes_first_and_is_not_called_inferred(take: Take) -> None:
    outcome = take(
        rows_of("target=two", "key=uid", "b=word", "part=split", "c=n"),
        label="b",
        id="key",
        split="part",
        modality="tabular",
    )
    assert outcome.found.classes == ["a", "b", "c"]
    assert outcome.table["id"][0] == "u0"
    inferred = outcome.found.inferred
    assert (inferred.label, inferred.id, inferred.split, inferred.modality) == (None, None, None, None)
    assert outcome.kinds == {"target": "categorical", "c": "numeric"}


@pytest.mark.parametrize(
    "name", ["id", "UID", "customer_id", "PassengerId", "key", "index", "name", "Unnamed: 0", "uuid"]
)
@pytest.mark.parametrize("kind", ["uid", "seq"])
def test_an_id_is_found_and_never_learnt_from(take: Take, name: str, kind: str) -> None:
    outcome = take(rows_of(f"{name}={kind}", "a=n", "target=two"))
    assert outcome.found.inferred.id == name
    assert list(outcome.kinds) == ["a"]
    assert "identifier_left_out" not in outcome.codes
    assert outcome.table["id"][3] == ("u3" if kind == "uid" else "3")


def test_a_nameless_first_column_of_row_numbers_is_an_id(take: Take) -> None:
    outcome = take(csv_of(20, header=",colour,x,target", line="{i},{c},1{i},{t}"))
    assert list(outcome.kinds) == ["colour", "x"]


@pytest.mark.parametrize("column", ["id=int", "id=word", "id=float", "price=seq", "grid=uid"])
def test_a_column_that_repeats_or_is_not_named_so_is_no_id(take: Take, column: str) -> None:
    outcome = take(rows_of(column, "a=n", "target=two"))
    assert outcome.found.inferred.id is None
    assert column.split("=", maxsplit=1)[0] in outcome.kinds
    assert outcome.table["id"][:2] == ["row-0", "row-1"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_column_with_a_gap_is_no_id(take: Take, form: str) -> None:
    rows: list[dict[str, object]] = [{"id": i if i != 5 else None, "x": i, "target": "pq"[i % 2]} for i in range(12)]
    text = "id,x,target\n" + "".join(f"{row['id'] or ''},{row['x']},{row['target']}\n" for row in rows[1:])
    outcome = take(text if form == "csv" else json_lines(rows), f"a.{form}")
    assert outcome.found.inferred.id is None
    assert list(outcome.kinds) == ["id", "x"]


def test_a_second_identifier_is_left_out_with_a_warning(take: Take) -> None:
    outcome = take(rows_of("id=seq", "name=uid", "a=n", "target=two"))
    assert list(outcome.kinds) == ["a"]
    assert "identifier_left_out" in outcome.codes


def test_an_id_that_is_asked_for_as_a_feature_is_one(take: Take) -> None:
    outcome = take(rows_of("id=seq", "a=n", "target=two"), features=["id", "a"])
    assert outcome.kinds == {"id": "numeric", "a": "numeric"}


def test_repeated_ids_are_told_with_both_lines(take: Take) -> None:
    text = "key,x,target\na,1,p\nb,2,q\nc,3,p\nb,4,q\na,5,p\n"
    with pytest.raises(Invalid, match="line 3 and line 5 have the same 'key'") as caught:
        take(text, id="key")
    assert caught.value.errors[0].loc == ["file", "line 5", "column key"]


def test_a_row_without_its_id_is_skipped(take: Take) -> None:
    outcome = take("key,x,target\na,1,p\n,2,q\n ,3,p\nd,4,q\n", id="key")
    assert [(row.index, row.reason) for row in outcome.skipped] == [(1, "no id"), (2, "no id")]
    assert outcome.table["id"] == ["a", "d"]
    assert list(outcome.kinds) == ["x"]


def test_splits_are_found_and_called_alike(take: Take) -> None:
    outcome = take(rows_of("a=n", "Subset=split", "target=two"))
    assert outcome.found.inferred.split == "Subset"
    assert outcome.found.splits == {"test": 2, "train": 6, "validation": 4}
    assert list(outcome.kinds) == ["a"]


def test_a_split_column_of_other_words_is_a_feature(take: Take) -> None:
    assert take(rows_of("a=n", "fold=int", "target=two")).kinds == {"a": "numeric", "fold": "numeric"}


def test_a_split_that_the_client_names_keeps_its_own_words(take: Take) -> None:
    outcome = take(rows_of("a=n", "part=word", "target=two"), split="part")
    assert outcome.found.splits == {"a": 4, "b": 4, "c": 4}
    assert "no_train_split" in outcome.codes


def test_features_and_exclude_choose_columns(take: Take) -> None:
    text = rows_of("a=n", "b=word", "c=int", "target=two")
    assert list(take(text, features=["c", "a"]).kinds) == ["a", "c"]
    assert list(take(text, exclude=["b"]).kinds) == ["a", "c"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"label": "colur"}, "label"),
        ({"id": "ident"}, "id"),
        ({"split": "part"}, "split"),
        ({"features": ["age", "colur"]}, "features"),
        ({"exclude": ["colur"]}, "exclude"),
        ({"label": "target", "exclude": ["target"]}, "exclude"),
        ({"label": "target", "features": ["target"]}, "features"),
        ({"label": "target", "id": "target"}, "id"),
        ({"label": "target", "split": "target"}, "split"),
        ({"modality": "image"}, "modality"),
        ({"modality": "embedding"}, "modality"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_spec_that_does_not_fit_is_told_by_field(take: Take, spec: dict[str, object], field: str, form: str) -> None:
    rows = [{"age": i, "colour": "rgb"[i % 3], "target": "pq"[i % 2]} for i in range(12)]
    content = csv_of(12) if form == "csv" else json_lines(rows)
    with pytest.raises(Invalid) as caught:
        take(content, f"a.{form}", **spec)
    assert caught.value.errors[0].loc == ["spec", field]


def test_a_misspelt_column_is_told_with_the_closest_and_all(take: Take) -> None:
    with pytest.raises(Invalid, match=r"age, colour, target; did you mean 'colour'\?"):
        take(csv_of(12), label="colur")


def test_columns_named_like_ours_are_ordinary(take: Take) -> None:
    lines = [f"{i % 4},{'ab'[i % 2]},{i % 3},{i % 5},w{i % 2},{i / 3},{'xyz'[i % 3]}" for i in range(12)]
    text = "index,split,f0,f1,text,embedding,label\n" + "\n".join(lines)
    outcome = take(text)
    assert outcome.found.classes == ["x", "y", "z"]
    assert list(outcome.kinds) == ["index", "split", "f0", "f1", "text", "embedding"]
    assert [feature.column for feature in outcome.found.features] == [f"f{i}" for i in range(6)]
    assert outcome.column("f0") == [i % 3 for i in range(12)]
    assert outcome.column("index") == [i % 4 for i in range(12)]
    assert outcome.table["index"] == list(range(12))
    assert outcome.table["split"] == ["train"] * 12


def test_strange_names_are_kept(take: Take) -> None:
    outcome = take(rows_of("__id=word", "größe 📏=n", "a.b/c=int", "target=two"))
    assert list(outcome.kinds) == ["__id", "größe 📏", "a.b/c"]


@pytest.mark.parametrize("separator", ["|", ";", " | "])
def test_sets_of_labels_are_refused(take: Take, separator: str) -> None:
    sets = ["a", "b", separator.join("ab"), separator.join("bc"), separator.join("abc"), "c"]
    lines = [f"{number},{sets[number % len(sets)]}" for number in range(60)]
    with pytest.raises(Invalid, match="several labels for one sample"):
        take("\n".join(["x,tags", *lines]), label="tags")


def test_classes_of_a_hierarchy_are_classes(take: Take) -> None:
    names = ["plants", "plants|trees", "plants|herbs", "animals", "animals|birds", "animals|birds|owls"]
    lines = [f"{number / 3},{names[number % len(names)]}" for number in range(60)]
    assert take("\n".join(["x,kind", *lines]), label="kind").found.classes == sorted(names)
