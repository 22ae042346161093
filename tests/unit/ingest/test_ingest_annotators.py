"""Who gave the labels: columns of tables, and exports of labelling tools that say it."""

import json
from typing import Any

import pytest

from service.domain.errors import Invalid
from tests.unit.ingest.test_ingest_tools import ODD, exported
from tests.unit.ingest.uploads import Outcome, Take, json_lines, rows_as_csv

PEOPLE = ["Ann", "bob@example.org", 'Zoë Ó\'Brien, "QA" 小林']


def table(**columns: list[Any]) -> list[dict[str, Any]]:
    """Rows of a number, a word and a class, with more columns."""
    return [
        {"size": n * 1.5, "colour": ["red", "green", "blue"][n % 3], "target": ("yes", "no")[n % 2]}
        | {name: values[n % len(values)] for name, values in columns.items()}
        for n in range(24)
    ]


def said_of(rows: list[dict[str, Any]], column: str) -> set[tuple[int, str, str]]:
    return {(n, str(row[column]), row["target"]) for n, row in enumerate(rows) if row[column] is not None}


def role(outcome: Outcome, name: str) -> str:
    return next(column.role for column in outcome.found.columns if column.name == name)


@pytest.mark.parametrize(
    "name", ["annotator", "Annotator ID", "annotator_email", "_annotator_id", "labeller", "labeled_by", "annotatedBy"]
)
def test_a_column_that_can_only_be_of_annotators_is_found_and_not_learnt_from(take: Take, name: str) -> None:
    rows = table(**{name: PEOPLE})
    outcome = take(rows_as_csv(rows))
    assert role(outcome, name) == "annotator"
    assert outcome.found.inferred.annotator == name
    assert set(outcome.kinds) == {"size", "colour"}
    assert outcome.votes == said_of(rows, name)


@pytest.mark.parametrize(
    ("name", "values"),
    [("annotators", [1, 2, 3]), ("annotator", [0.5, 1.5, 2.5]), ("annotator", [f"n{n}" for n in range(24)])],
)
def test_counts_measurements_and_names_that_do_not_come_again_are_no_annotators(
    take: Take, name: str, values: list[Any]
) -> None:
    outcome = take(rows_as_csv(table(**{name: values})))
    assert role(outcome, name) != "annotator"
    assert outcome.votes == set()


def test_a_column_that_the_client_names_says_who_gave_the_labels(take: Take) -> None:
    rows = table(checked_in=[3, 4, None])
    outcome = take(json_lines(rows), "rows.jsonl", annotator="checked_in")
    assert role(outcome, "checked_in") == "annotator"
    assert outcome.found.inferred.annotator is None
    assert set(outcome.kinds) == {"size", "colour"}
    assert outcome.votes == said_of(rows, "checked_in")


def test_what_the_client_learns_from_or_leaves_out_is_no_annotator(take: Take) -> None:
    content = rows_as_csv(table(annotator=PEOPLE))
    learnt = take(content, features=["size", "annotator"])
    assert set(learnt.kinds) == {"size", "annotator"}
    assert learnt.votes == take(content, exclude=["annotator"]).votes == set()
    with pytest.raises(Invalid, match="annotator"):
        take(content, annotator="annotator", features=["annotator"])
    with pytest.raises(Invalid, match="'who'"):
        take(content, annotator="who")
    with pytest.raises(Invalid, match="named twice"):
        take(content, annotator="target", label="target")


def test_the_names_beside_the_ids_of_annotators_are_not_learnt_from(take: Take) -> None:
    rows = table(annotator_id=[1, 2, 3], annotator_name=PEOPLE)
    outcome = take(rows_as_csv(rows))
    assert set(outcome.kinds) == {"size", "colour"}
    assert "annotator_left_out" in outcome.codes
    assert outcome.votes == said_of(rows, "annotator_id")


def test_a_column_of_annotators_is_not_taken_for_the_label(take: Take) -> None:
    rows = [{"a": n, "b": n % 7, "outcome": "xy"[n % 2], "labelled_by": PEOPLE[n % 3]} for n in range(24)]
    assert take(rows_as_csv(rows)).found.inferred.label == "outcome"


def test_a_row_that_is_skipped_has_no_vote(take: Take) -> None:
    rows = table(annotator=PEOPLE)
    rows[5]["target"] = None
    outcome = take(rows_as_csv(rows))
    assert [row.index for row in outcome.skipped] == [5]
    assert outcome.votes == {vote for vote in said_of(rows, "annotator") if vote[0] != 5}


def test_a_vote_is_for_the_class_that_its_label_became(take: Take) -> None:
    outcome = take(rows_as_csv(table(annotator=PEOPLE)), merge_labels={"agreed": ["yes"]})
    assert {label for _, _, label in outcome.votes} == {"agreed", "no"}


def test_without_annotators_there_is_no_file_of_votes(take: Take) -> None:
    assert take(rows_as_csv(table())).votes == set()
    assert take(json_lines([{"id": n, "text": f"words {n}", "label": ["ab"[n % 2]]} for n in range(6)])).votes == set()


@pytest.mark.parametrize("name", ["label_studio.json", "label_studio_min.json", "label_studio.csv"])
def test_all_annotators_of_a_task_of_label_studio_are_kept_also_those_in_conflict(take: Take, name: str) -> None:
    outcome = take(exported(name), name)
    places = dict(zip(outcome.table["index"], outcome.table["id"], strict=True))
    skipped = {row.index: row.where.removeprefix("task ") for row in outcome.skipped}
    by_task: dict[str, set[tuple[str, str]]] = {}
    for index, who, label in outcome.votes:
        by_task.setdefault((places | skipped)[index], set()).add((who, label))
    # Person 1 annotated task 25 twice, and said sports the second time.
    assert by_task == {task: {("1", label)} for task, label in {**ODD, "25": "sports", "26": "tech"}.items()}
    assert "25" in skipped.values()


def vote(number: int, label: str, who: Any, at: str = "2026-01-01") -> dict[str, Any]:
    result = {"from_name": "kind", "to_name": "text", "type": "choices", "value": {"choices": [label]}}
    return {"id": number, "result": [result], "completed_by": who, "updated_at": at}


def test_the_last_word_of_a_person_counts_and_each_form_of_a_name(take: Take) -> None:
    tasks = [
        {"id": n, "data": {"text": f"words of text {n}"}, "annotations": annotations}
        for n, annotations in enumerate(
            [
                [vote(1, "a", 7, "2026-01-02"), vote(2, "b", 7)],
                [vote(3, "b", {"id": 8, "email": "eve@example.org"}), vote(4, "b", None)],
                [vote(5, "a", {"id": 9, "email": ""}), vote(6, "b", 7), vote(7, "a", 8)],
            ]
        )
    ]
    outcome = take(json.dumps(tasks), "a.json", annotation_policy="latest")
    assert outcome.votes == {(0, "7", "a"), (1, "eve@example.org", "b"), (2, "9", "a"), (2, "7", "b"), (2, "8", "a")}
    alone = take(json.dumps(tasks), "a.json", annotation_policy="all")
    names = dict(zip(alone.table["index"], alone.table["id"], strict=True))
    assert {(names[index], who) for index, who, _ in alone.votes} == {
        ("0:1", "7"), ("0:2", "7"), ("1:3", "eve@example.org"), ("2:5", "9"), ("2:6", "7"), ("2:7", "8"),
    }  # fmt: skip


def test_prodigys_annotators_are_kept(take: Take) -> None:
    rows = [
        {"_input_hash": n // 2, "_task_hash": n, "text": f"words of it {n // 2}", "answer": "accept",
         "accept": ["ab"[(n // 2) % 2]], who: ["set-ann", "set-bob"][n % 2]}
        for n in range(12) for who in [("_annotator_id", "_session_id")[n % 3 == 0]]
    ]  # fmt: skip
    rows.append({**rows[-1], "accept": ["a"], "_annotator_id": "eve"})  # outvoted
    outcome = take(json_lines(rows), "prodigy.jsonl")
    assert outcome.votes == {(n, f"set-{who}", "ab"[n % 2]) for n in range(6) for who in ("ann", "bob")} | {
        (5, "eve", "a")
    }


def test_argillas_annotators_are_kept_from_the_sdk_and_from_the_api(take: Take) -> None:
    def record(n: int, responses: Any) -> dict[str, Any]:
        return {"id": str(n), "fields": {"text": f"words of it {n}"}, "responses": responses, "status": "completed"}

    sdk = [
        record(n, {"topic": [{"value": "ab"[n % 2], "user_id": "u1"}, {"value": "ab"[n // 2], "user_id": "u2"}]})
        for n in range(4)
    ]
    api = [
        record(n, [{"values": {"topic": {"value": "ab"[n % 2]}}, "user_id": "u1", "status": "submitted"},
                   {"values": {"topic": {"value": "ab"[n // 2]}}, "user_id": "u2", "status": "submitted"},
                   {"values": {"topic": {"value": "b"}}, "user_id": "u3", "status": "draft"}])
        for n in range(4)
    ]  # fmt: skip
    expected = {(n, "u1", "ab"[n % 2]) for n in range(4)} | {(n, "u2", "ab"[n // 2]) for n in range(4)}
    for records in (sdk, api):
        outcome = take(json.dumps(records), "records.json")
        assert [row.index for row in outcome.skipped] == [1, 2]  # in conflict
        assert outcome.votes == expected


def test_labelboxs_annotators_are_kept(take: Take) -> None:
    def label(n: int, who: str) -> dict[str, Any]:
        answer = {"name": "topic", "radio_answer": {"name": "ab"[n % 2]}}
        return {"label_details": {"created_by": who}, "annotations": {"classifications": [answer]}}

    rows = [
        {
            "data_row": {"id": f"d{n}", "row_data": f"words of it {n}"},
            "projects": {"p": {"labels": [label(n, "ann@example.org"), label(n, "bob@example.org")]}},
        }
        for n in range(4)
    ]
    outcome = take(json_lines(rows), "export.ndjson")
    people = ("ann@example.org", "bob@example.org")
    assert outcome.votes == {(n, who, "ab"[n % 2]) for n in range(4) for who in people}
