"""Exports of labelling tools. Those in `exports/` were written by the tools themselves."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.domain.errors import Invalid, Malformed
from tests.unit.ingest.uploads import Outcome, Take, json_lines, png, tar_of, zip_of

EXPORTS = Path(__file__).parent / "exports"
PICTURES = {f"images/{name}.png": png(value=number) for number, name in enumerate(
    ("cat_a0", "cat_b1", "cat_c2", "dog_a0", "dog_b1", "dog_c2")
)}  # fmt: skip


def exported(name: str) -> bytes:
    return (EXPORTS / name).read_bytes()


def reasons(outcome: Outcome) -> dict[str, str]:
    return {row.where: row.reason for row in outcome.skipped}


def samples(outcome: Outcome) -> dict[str, str]:
    return dict(zip(outcome.table["id"], outcome.labels, strict=True))


# Tasks 13 to 20 have one annotation each.
ODD = {str(13 + number): ("sports", "tech")[number % 2] for number in range(8)}


@pytest.mark.parametrize("name", ["label_studio.json", "label_studio_min.json", "label_studio.csv"])
def test_label_studios_tasks_keep_their_ids_and_say_why_some_are_left_out(take: Take, name: str) -> None:
    outcome = take(exported(name), name)
    assert outcome.found.modality == "text"
    assert samples(outcome) == {**ODD, "26": "tech"}
    assert outcome.table["text"][3] == "sentence number 3 here"
    told = reasons(outcome)
    assert told["task 21"] == "the annotation names 2 classes"
    assert told["task 22"] == "the annotation is empty"
    assert told["task 23"] == "no annotation"
    assert told["task 25"].startswith("its annotators are in conflict: ")
    # The row forms leave cancelled annotations out.
    assert told.get("task 24") == ("the annotation was cancelled" if name == "label_studio.json" else None)


def test_the_policy_says_which_annotation_counts(take: Take) -> None:
    content = exported("label_studio.json")
    latest = take(content, "a.json", annotation_policy="latest")
    assert samples(latest) == {**ODD, "25": "sports", "26": "tech"}
    every = samples(take(content, "a.json", annotation_policy="all"))
    assert {name: label for name, label in every.items() if name.startswith("25:")} == {
        "25:12": "tech",
        "25:13": "sports",
    }
    assert len(every) == 12


def test_of_several_choices_tags_one_is_to_be_named(take: Take) -> None:
    for name, tag in (("label_studio_alias.json", "Choices tag"), ("label_studio_alias_min.json", "tag")):
        with pytest.raises(Invalid, match=f"which {tag} is the label\\? mood, lang") as caught:
            take(exported(name), name)
        assert caught.value.errors[0].loc == ["spec", "label"]
        outcome = take(exported(name), name, label="mood")
        assert outcome.found.class_counts == {"Bad": 3, "g": 3}
        assert outcome.table["text"][0] == "words about film 0"
        with pytest.raises(Invalid, match="'tone'; there are mood, lang"):
            take(exported(name), name, label="tone")


def task(number: int, label: str, **data: Any) -> dict[str, Any]:
    result = {"from_name": "kind", "to_name": "image", "type": "choices", "value": {"choices": [label]}}
    return {"id": number, "data": data, "annotations": [{"id": number, "result": [result]}]}


@pytest.mark.parametrize(
    "where",
    ["/data/upload/7/9fc8f22d-{}.png", "/data/local-files/?d=set/{}.png", "s3://bucket/set/{}.png",
     "https://host/a/set/{}.png?token=x%2Fy", "set\\{}.png", "{}.png"],
)  # fmt: skip
def test_an_image_is_found_beside_the_export_however_the_tool_leads_to_it(take: Take, where: str) -> None:
    names = [Path(path).stem for path in PICTURES]
    found = json.dumps([task(number, name[:3], image=where.format(name)) for number, name in enumerate(names)])
    for pack in (zip_of, tar_of):
        outcome = take(pack({"project.json": found.encode(), **PICTURES}), "set.zip")
        assert outcome.found.modality == "image"
        assert samples(outcome) == {str(number): name[:3] for number, name in enumerate(names)}
        assert outcome.table["image"] == list(PICTURES.values())
        assert outcome.table["path"][0] == where.format("cat_a0")


def test_images_that_are_not_in_the_upload_are_asked_for(take: Take) -> None:
    tasks = json.dumps([task(number, "ab"[number % 2], image=f"/data/upload/{number}.png") for number in range(4)])
    with pytest.raises(
        Invalid, match="Upload a ZIP with this file and the images beside it, or connect this service to Label Studio"
    ):
        take(tasks, "a.json")
    with pytest.raises(Invalid, match="and that is not fetched"):
        take(zip_of({"a.json": tasks.encode()}), "a.zip")
    with pytest.raises(Invalid, match="the first of them, task 0: the archive has no image"):
        take(zip_of({"a.json": tasks.encode(), "other.png": png()}), "a.zip")


def test_the_folders_above_tell_images_of_the_same_name_apart(take: Take) -> None:
    files = {f"{split}/{name}/1.png": png(value=ord(name) + len(split)) for split in ("one", "second") for name in "ab"}
    tasks = [
        task(1, "x", image="s3://b/one/a/1.png"),
        task(2, "y", image="s3://b/second/a/1.png"),
        task(3, "x", image="1.png"),
    ]
    outcome = take(zip_of({"a.json": json.dumps(tasks).encode(), **files}), "a.zip")
    assert outcome.table["image"] == [files["one/a/1.png"], files["second/a/1.png"]]
    assert "several images that may be '1.png'" in reasons(outcome)["task 3"]


def test_doccanos_examples_are_texts_with_one_label(take: Take) -> None:
    rows = [
        {
            "id": 9 + n,
            "text": f"words of it {n}",
            "ext": n,
            "suggested": "x",
            "label": [["a", "b"][n % 2]],
            "Comments": [],
        }
        for n in range(6)
    ]
    odd = [{"id": 20, "text": "many", "label": ["a", "b"]}, {"id": 21, "text": "none", "label": []}]
    outcome = take(json_lines([*rows, *odd]), "all.jsonl")
    assert samples(outcome) == {str(9 + n): "ab"[n % 2] for n in range(6)}
    assert list(outcome.kinds) == ["text"]  # its meta is not learnt from
    assert reasons(outcome) == {"example 20": "it has 2 labels", "example 21": "no label"}
    array = take(json.dumps(rows), "all.json")
    assert array.table == {**outcome.table, "index": array.table["index"]}
    zipped = take(zip_of({"all.jsonl": json_lines(rows).encode()}), "x.zip")
    assert zipped.labels == outcome.labels
    spans = [{"id": n, "text": "who is there", "label": [[0, 3, "ORG"]]} for n in range(3)]
    with pytest.raises(Invalid, match="spans of text"):
        take(json_lines(spans), "spans.jsonl")


def test_annotators_files_beside_each_other_are_not_mixed(take: Take) -> None:
    rows = json_lines([{"id": n, "text": f"words {n}", "label": ["ab"[n % 2]]} for n in range(4)]).encode()
    with pytest.raises(Invalid, match=r"several exports .* one of them: ann\.jsonl, bob\.jsonl"):
        take(zip_of({"ann.jsonl": rows, "bob.jsonl": rows}), "x.zip")


def answer(number: int, **said: Any) -> dict[str, Any]:
    return {"text": f"a text of {number}", "_input_hash": number, "_task_hash": -number, **said}


def test_only_accepted_answers_of_prodigy_name_a_class(take: Take) -> None:
    options = [{"id": name, "text": name.upper()} for name in ("sun", "rain")]
    rows = [
        answer(n, options=options, accept=[("sun", "rain")[n % 2]], answer="accept", _annotator_id="x")
        for n in range(1, 7)
    ]
    odd = [
        answer(11, accept=["sun"], answer="reject"),
        answer(12, accept=[], answer="ignore"),
        answer(13, accept=["sun", "rain"], answer="accept"),
        answer(14, answer="accept"),
        answer(15, accept=["sun"]),
        answer(1, accept=["sun"], answer="accept", _annotator_id="y"),
        answer(2, accept=["sun"], answer="accept", _annotator_id="y"),  # the same as the other annotator
    ]
    outcome = take(json_lines([*rows, *odd]), "out.jsonl")
    assert samples(outcome) == {str(n): ("sun", "rain")[n % 2] for n in range(2, 7)}
    assert reasons(outcome) == {
        "task 1": "its annotators are in conflict: rain, sun",
        "task 11": "it was rejected",
        "task 12": "it was ignored",
        "task 13": "2 options were accepted",
        "task 14": "its answer names no class",
        "task 15": "no answer",
    }


def test_prodigys_binary_answers_and_images_in_place(take: Take) -> None:
    def uri(value: int) -> str:
        return "data:image/png;base64," + base64.b64encode(png(value=value)).decode()

    rows = [answer(n, image=uri(n), label="AB"[n % 2], answer="accept") for n in range(4)]
    rows += [
        answer(7, image=uri(7), label="A", answer="reject"),
        answer(8, image="data:image/png;base64,%", label="A", answer="accept"),
    ]
    outcome = take(json_lines(rows), "out.jsonl")
    assert outcome.found.modality == "image"
    assert outcome.table["image"] == [png(value=n) for n in range(4)]
    assert outcome.table["path"] == ["0", "1", "2", "3"]
    assert reasons(outcome) == {"task 7": "it was rejected", "task 8": "its data URI is not base64"}


def test_argillas_submitted_responses_are_labels(take: Take) -> None:
    content = exported("argilla.json")
    with pytest.raises(Invalid, match="which question is the label\\? label, note"):
        take(content, "records.json")
    outcome = take(content, "records.json", label="label")
    assert samples(outcome) == {f"row-{n}": ("sports", "tech")[n % 2] for n in range(8)}
    assert reasons(outcome)["record row-8"] == "its annotators are in conflict: sports, tech"
    assert reasons(outcome)["record row-9"] == "its response is not one label"
    # What the SDK writes says of a discarded response nothing but that its record is pending.
    assert "pending" in reasons(outcome)["record row-11"]


def test_argillas_api_tells_drafts_from_what_was_submitted(take: Take) -> None:
    def record(number: int, label: str, status: str = "submitted") -> dict[str, Any]:
        said = {"values": {"topic": {"value": label}}, "status": status, "user_id": "u"}
        return {"id": f"uuid-{number}", "external_id": f"row-{number}", "fields": {"text": f"so it is {number}"},
                "responses": [said], "suggestions": [], "status": "pending"}  # fmt: skip

    rows = [record(n, "ab"[n % 2]) for n in range(4)] + [record(4, "a", "draft"), record(5, "a", "discarded")]
    outcome = take(json.dumps(rows), "records.json")
    assert samples(outcome) == {f"row-{n}": "ab"[n % 2] for n in range(4)}
    assert set(reasons(outcome)) == {"record row-4", "record row-5"}


def data_row(number: int, *answers: str | None, key: bool = True, multiple: bool = False) -> dict[str, Any]:
    def label(answer: str | None) -> dict[str, Any]:
        given = {"name": answer, "value": answer}
        said = {"checklist_answers": [given]} if multiple else {"radio_answer": given}
        classes = [] if answer is None else [{"name": "kind", "value": "kind", **said}]
        return {"id": "l", "annotations": {"classifications": classes, "objects": []}, "label_details": {}}

    row = {"id": f"c{number}", **({"global_key": f"key-{number}"} if key else {}), "row_data": f"this is text {number}"}
    return {"data_row": row, "projects": {"p": {"labels": [label(one) for one in answers]}}}


@pytest.mark.parametrize("form", [json_lines, json.dumps])
def test_labelboxs_radio_answers_are_labels(take: Take, form: Callable[[Any], str]) -> None:
    rows = [data_row(n, "ab"[n % 2]) for n in range(4)]
    odd = [
        data_row(4),
        data_row(5, None),
        data_row(6, "a", "b"),
        data_row(7, "a", "b", "b"),
        data_row(8, "a", multiple=True),
    ]
    outcome = take(form([*rows, *odd]), "export.ndjson")
    assert samples(outcome) == {**{f"key-{n}": "ab"[n % 2] for n in range(4)}, "key-7": "b"}
    assert outcome.found.inferred.format == "labelbox, by global key"
    assert reasons(outcome) == {
        "data row key-4": "no annotation",
        "data row key-5": "its label has no kind",
        "data row key-6": "its annotators are in conflict: a, b",
        "data row key-8": "its kind is not one answer of a radio",
    }
    by_id = take(form([*rows, data_row(9, "a", key=False)]), "export.ndjson")
    assert by_id.found.inferred.format == "labelbox, by id"
    assert by_id.table["id"] == ["c0", "c1", "c2", "c3", "c9"]


def test_cvats_tags_are_classes_and_frames_are_ids(take: Take) -> None:
    outcome = take(zip_of({"annotations.xml": exported("cvat.xml"), **PICTURES}), "task.zip")
    assert samples(outcome) == {"0": "cat", "3": "dog", "4": "dog"}
    assert outcome.table["image"][1] == PICTURES["images/dog_a0.png"]
    assert reasons(outcome) == {
        "image 1": "it has 2 tags: cat, dog",
        "image 2": "no tag, only 1 shapes",
        "image 5": "no tag",
    }
    with pytest.raises(Invalid, match=r"Upload a ZIP with this file and the images beside it$"):
        take(exported("cvat.xml"), "annotations.xml")


def test_subsets_of_cvat_are_splits(take: Take) -> None:
    lines = "".join(
        f'<image id="{n}" name="{Path(path).name}" subset="{["Train", "Test"][n % 2]}"><tag label="{"ab"[n // 3]}"/></image>'
        for n, path in enumerate(PICTURES)
    )
    outcome = take(zip_of({"annotations.xml": f"<annotations>{lines}</annotations>".encode(), **PICTURES}), "p.zip")
    assert outcome.found.splits == {"test": 3, "train": 3}


def test_an_xml_that_is_broken_or_bears_entities_is_refused_by_line(take: Take) -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbbbbbbb">]><annotations><image id="1" name="&b;"/></annotations>'
    with pytest.raises(Malformed, match="entities"):
        take(zip_of({"annotations.xml": bomb, **PICTURES}), "task.zip")
    with pytest.raises(Malformed, match="line 2 is not XML"):
        take(zip_of({"annotations.xml": b'<annotations>\n<image id="1" name="x">', **PICTURES}), "task.zip")


@pytest.mark.parametrize("encoding", ["utf--1", "utf-32", "x" * 300])
def test_an_xml_in_an_encoding_that_is_not_read_is_malformed(take: Take, encoding: str) -> None:
    content = f'<?xml version="1.0" encoding="{encoding}"?><annotations><image id="1" name="x"/></annotations>'
    with pytest.raises(Malformed, match=r"the XML cannot be read|is not XML"):
        take(content, "annotations.xml")


def test_a_folder_of_what_has_no_class_is_no_class(take: Take) -> None:
    for folder in ("no_label", "_unlabeled"):
        files = {f"{name}/{n}.png": png(value=n) for name in ("cat", "dog", folder) for n in range(2)}
        outcome = take(zip_of(files), "imagenet.zip")
        assert outcome.found.classes == ["cat", "dog"]
        assert set(reasons(outcome)) == {f"{folder}/0.png", f"{folder}/1.png"}


def test_an_image_of_coco_has_the_one_category_of_its_annotations(take: Take) -> None:
    found = json.loads(exported("coco.json"))
    found["annotations"].append({"id": 9, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]})
    for text in (json.dumps(found), json.dumps(found, indent=1)):
        outcome = take(zip_of({"annotations/a.json": text.encode(), **PICTURES}), "coco.zip")
        assert samples(outcome) == {"1": "cat", "4": "dog", "5": "dog"}
        assert reasons(outcome) == {
            "image 2": "it has several categories: cat, dog",
            "image 3": "no annotation",
            "image 6": "no annotation",
        }


def test_of_the_coco_files_of_cvat_the_one_of_whole_images_is_read(take: Take) -> None:
    boxes = json.loads(exported("coco.json"))
    boxes["annotations"] = [{"id": 1, "image_id": 3, "category_id": 1, "bbox": [1, 1, 4, 4]}]
    files = {
        "annotations/labels_default.json": exported("coco.json"),
        "annotations/instances_default.json": json.dumps(boxes).encode(),
        "annotations/image_info_default.json": json.dumps({**boxes, "annotations": []}).encode(),
    }
    assert samples(take(zip_of({**files, **PICTURES}), "coco.zip")) == {"1": "cat", "4": "dog", "5": "dog"}


def test_fiftyones_labels_go_by_the_names_of_images(take: Take) -> None:
    pictures = {path.replace("images", "data"): data for path, data in PICTURES.items()}
    expected = {"cat_a0": "cat", "cat_b1": "cat", "dog_a0": "dog", "dog_b1": "dog", "dog_c2": "dog"}
    outcome = take(zip_of({"labels.json": exported("fiftyone_labels.json"), **pictures}), "fo.zip")
    assert samples(outcome) == expected
    assert outcome.table["path"][0] == "data/cat_a0.png"
    assert reasons(outcome) == {"sample cat_c2": "no label"}
    numbers: dict[str, Any] = {
        "classes": ["cat", "dog"],
        "labels": {name: ["cat", "dog"].index(label) for name, label in expected.items()},
    }
    numbers["labels"] |= {"cat_c2": {"label": "cat", "confidence": 0.5}}
    outcome = take(zip_of({"labels.json": json.dumps(numbers, indent=2).encode(), **pictures}), "fo.zip")
    assert samples(outcome) == {**expected, "cat_c2": "cat"}


def fo_sample(number: int, label: str | None, **more: Any) -> dict[str, Any]:
    truth = None if label is None else {"_cls": "Classification", "label": label}
    return {
        "_id": {"$oid": f"{number:024x}"},
        "filepath": f"data/{number}.png",
        "tags": [],
        "ground_truth": truth,
        **more,
    }


def test_fiftyones_dataset_has_ids_labels_and_splits(take: Take) -> None:
    predicted = {"_cls": "Classification", "label": "b", "confidence": 0.5}
    rows = [
        fo_sample(n, "ab"[n % 2], tags=["x", ["train", "test"][n // 2 % 2]], predictions=predicted) for n in range(4)
    ]
    rows += [fo_sample(4, None), fo_sample(5, "a", ground_truth={"_cls": "Classifications", "classifications": []})]
    files = {f"data/{n}.png": png(value=n) for n in range(6)}
    names = {"metadata.json": b'{"name": "x"}', "samples.json": json.dumps({"samples": rows}).encode()}
    outcome = take(zip_of({**names, **files}), "fo.zip")
    assert samples(outcome) == {f"{n:024x}": "ab"[n % 2] for n in range(4)}
    assert outcome.found.splits == {"test": 2, "train": 2}
    assert sorted(reasons(outcome).values()) == ["its ground_truth is several labels", "no ground_truth"]
    with pytest.raises(Invalid, match="only the class 'b'"):
        take(zip_of({**names, **files}), "fo.zip", label="predictions")


def test_an_id_that_occurs_twice_is_told(take: Take) -> None:
    rows = [{"id": n % 3, "text": f"words {n}", "label": ["ab"[n % 2]]} for n in range(4)]
    with pytest.raises(Invalid, match="example 0 and example 0 have the same 'id'"):
        take(json_lines(rows), "all.jsonl")


ODD_RECORDS: list[Any] = [
    {"id": 1, "data": {"text": "x"}, "annotations": ["x", 3, None]},
    {
        "id": 2,
        "data": {"text": "x"},
        "annotations": [{"result": [{"type": "choices", "from_name": "kind", "value": 3}]}],
    },
    {"id": 3, "data": {"text": "x"}, "annotations": [{"id": "x", "result": 5}]},
    {"id": 4, "data": None, "annotations": None},
    {"id": 5},
]


@pytest.mark.parametrize("odd", ODD_RECORDS)
def test_a_record_of_another_shape_is_skipped_and_no_crash(take: Take, odd: Any) -> None:
    tasks = [task(10 + n, "ab"[n % 2], text=f"some words {n}") for n in range(4)]
    outcome = take(json.dumps([*tasks, odd]), "a.json")
    assert list(samples(outcome)) == ["10", "11", "12", "13"]
    assert len(outcome.skipped) == 1


def test_a_tools_file_that_breaks_off_is_told_by_line(take: Take) -> None:
    text = json.dumps([task(n, "ab"[n % 2], text=f"some words {n}") for n in range(4)], indent=1)
    with pytest.raises(Malformed, match=r"line \d+ is not JSON"):
        take(text[:-40], "a.json")


def test_results_that_are_no_choices_are_named(take: Take) -> None:
    boxes = [task(n, "a", image=f"{n}.png") for n in range(3)]
    for one in boxes:
        one["annotations"][0]["result"][0]["type"] = "rectanglelabels"
    with pytest.raises(Invalid, match="no choices, so no classes: its results are rectanglelabels"):
        take(json.dumps(boxes), "a.json")


def test_lists_of_labels_elsewhere_are_still_refused(take: Take) -> None:
    with pytest.raises(Invalid, match="holds lists"):
        take(json_lines([{"sentence": f"w {n}", "label": ["a", "b"]} for n in range(4)]), "a.jsonl")


@pytest.mark.parametrize("name", ["call-{}.mp3", "/data/local-files/?d=calls/{}.flac", "s3://calls/{}.mp4?token=1"])
def test_names_of_sound_and_film_are_not_read_as_texts(take: Take, name: str) -> None:
    tasks = [task(n, ("calm", "angry")[n % 2], call=name.format(n)) for n in range(8)]
    with pytest.raises(Invalid, match=r"files of sound or film .*which are not supported"):
        take(json.dumps(tasks), "calls.json")


def test_spans_of_text_are_refused_as_such(take: Take) -> None:
    found = [
        {"id": n, "text": f"ship {n}", "Comments": [], "entities": [{"label": "SHIP", "start_offset": 0}]}
        for n in range(6)
    ]
    with pytest.raises(Invalid, match="labels are spans of text"):
        take(json_lines(found), "ships.jsonl")
    with pytest.raises(Invalid, match="answers are spans of text"):
        take(
            json_lines([answer(n, text=f"ship {n}", spans=[{"start": 0}], answer="accept") for n in range(6)]),
            "ships.jsonl",
        )


def test_a_fiftyone_collection_written_as_json_is_an_export_too(take: Take) -> None:
    document = {
        "name": "harbour",
        "media_type": "image",
        "samples": [fo_sample(n, ("ferry", "barge")[n % 2]) for n in range(6)],
    }
    files = {f"data/{n}.png": png(value=n) for n in range(6)}
    outcome = take(zip_of({"samples.json": json.dumps(document).encode(), **files}), "harbour.zip")
    assert outcome.found.class_counts == {"ferry": 3, "barge": 3}
