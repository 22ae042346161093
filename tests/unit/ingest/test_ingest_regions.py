"""Classes of regions, ratings and taxonomies in exports of Label Studio, and fields of FiftyOne and COCO that are no classes."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pytest

from service.domain.errors import Invalid
from tests.unit.ingest.uploads import Outcome, Take, png, zip_of

PICTURES = {f"data/{place}.png": png(value=place) for place in range(8)}


def samples(outcome: Outcome) -> dict[str, str]:
    return dict(zip(outcome.table["id"], outcome.labels, strict=True))


def reasons(outcome: Outcome) -> dict[str, str]:
    return {row.where: row.reason for row in outcome.skipped}


def said(outcome: Outcome, code: str) -> str:
    return next(one.detail for one in outcome.found.warnings if one.code == code)


def task(number: int, *results: Sequence[dict[str, Any]], **data: Any) -> dict[str, Any]:
    annotations = [{"id": 10 * number + place, "result": list(one)} for place, one in enumerate(results)]
    return {
        "id": number,
        "data": data or {"body": f"the river rose and the mill of {number} fell"},
        "annotations": annotations,
    }


def choice(label: str, region: str | None = None, **place: Any) -> dict[str, Any]:
    item = {"from_name": "tone", "to_name": "body", "type": "choices", "value": {"choices": [label], **place}}
    return item if region is None else {**item, "id": region}


def span(region: str, start: int, end: int, text: str | None = None) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": ["PHRASE"], **({} if text is None else {"text": text})}
    return {"id": region, "from_name": "phrase", "to_name": "body", "type": "labels", "value": value}


def export(*tasks: dict[str, Any]) -> str:
    return json.dumps(tasks)


def test_a_region_with_a_choice_is_a_sample_of_its_own_text(take: Take) -> None:
    tasks = [
        task(
            number,
            [
                span("a", 0, 9, "the river"),
                choice("calm", "a", start=0, end=9, text="the river"),
                span("b", 10, 14),
                choice("wild", "b"),  # the place is in the item of the same id alone
                span("c", 19, 27),
            ],
        )
        for number in range(4)
    ]
    outcome = take(export(*tasks), "a.json")
    assert outcome.found.modality == "text"
    assert samples(outcome) == {f"{n}:{r}": {"a": "calm", "b": "wild"}[r] for n in range(4) for r in "ab"}
    assert outcome.table["text"][:2] == ["the river", "rose"]
    assert "all 8 choices of 'tone' are of regions of texts" in said(outcome, "region_samples")
    assert not outcome.found.inferred.format.startswith("label studio")  # no suggestion is for a whole task


def test_annotators_of_one_place_vote_on_it(take: Take) -> None:
    def one(region: str, label: str, end: int = 9) -> list[dict[str, Any]]:
        return [span(region, 4, end), choice(label, region)]

    tasks = [task(1, one("a", "calm"), one("b", "calm"), one("c", "wild")), task(2, one("a", "calm"), one("a", "wild"))]
    tasks += [task(3, [*one("a", "wild"), choice("calm", "a")]), task(4, [span("a", 4, 9)], one("b", "wild", end=14))]
    outcome = take(export(*tasks), "a.json")
    assert samples(outcome) == {"1:a": "calm", "4:b": "wild"}
    assert reasons(outcome) == {
        "task 2:a": "its annotators are in conflict: calm, wild",
        "task 3:a": "its region has 2 classes",
    }
    every = take(export(tasks[0], tasks[3]), "a.json", annotation_policy="all")
    assert samples(every) == {"1:a:10": "calm", "1:a:11": "calm", "1:a:12": "wild", "4:b:41": "wild"}


def test_regions_whose_text_is_not_in_the_file_are_skipped(take: Take) -> None:
    odd = [
        task(9, [choice("calm", "r", start=40, end=400)]),
        task(10, [choice("calm", "r", start="/p[1]", end="/p[2]")]),
    ]
    tasks = [task(n, [choice(("calm", "wild")[n % 2], "r", start=0, end=5 + n)]) for n in range(4)]
    outcome = take(export(*tasks, *odd, task(11, [span("a", 0, 3)])), "a.json")
    assert len(samples(outcome)) == 4
    assert reasons(outcome) == {
        "task 9:r": "the text of its region is not in the file",
        "task 10:r": "the text of its region is not in the file",
        "task 11": "none of its regions has a class",
    }


def test_choices_of_whole_texts_are_read_and_those_of_regions_are_told(take: Take) -> None:
    tasks = [task(n, [choice(("calm", "wild")[n % 2]), span("a", 0, 3), choice("wild", "a")]) for n in range(4)]
    outcome = take(export(*tasks, task(7, [span("a", 0, 3), choice("wild", "a")])), "a.json")
    assert samples(outcome) == {str(n): ("calm", "wild")[n % 2] for n in range(4)}
    assert reasons(outcome) == {"task 7": "the annotation names classes of regions only, not of the whole input"}
    assert said(outcome, "region_choices").startswith("5 classes of 'tone' are of regions")


def test_choices_of_parts_of_images_are_no_classes_of_images(take: Take) -> None:
    box = {"x": 1, "y": 2, "width": 30, "height": 40}
    tasks = [
        task(n, [{**choice(("calm", "wild")[n % 2], "r", **box), "to_name": "body"}], body=f"data/{n}.png")
        for n in range(6)
    ]
    with pytest.raises(Invalid, match=r"all 6 classes of 'tone' are of regions and not of whole inputs; .* as images"):
        take(zip_of({"a.json": export(*tasks).encode(), **PICTURES}), "a.zip")


def rating(stars: Any) -> dict[str, Any]:
    return {"from_name": "stars", "to_name": "body", "type": "rating", "value": {"rating": stars}}


def taxonomy(*paths: list[str]) -> dict[str, Any]:
    return {"from_name": "topic", "to_name": "body", "type": "taxonomy", "value": {"taxonomy": list(paths)}}


def test_stars_are_classes(take: Take) -> None:
    outcome = take(export(*(task(n, [rating(n % 3 + 3)]) for n in range(9)), task(9, [rating(None)])), "a.json")
    assert outcome.found.class_counts == {"3": 3, "4": 3, "5": 3}
    assert reasons(outcome) == {"task 9": "the annotation is empty"}


def test_the_first_level_of_a_taxonomy_is_the_class(take: Take) -> None:
    paths = {0: [["Water", "River"]], 1: [["Land"]], 2: [["Water", "Lake"], ["Water", "River"]], 3: [["Land", "Hill"]]}
    tasks = [task(n, [taxonomy(*one)]) for n, one in paths.items()]
    outcome = take(export(*tasks, task(4, [taxonomy(["Water"], ["Land"])])), "a.json")
    assert samples(outcome) == {"0": "Water", "1": "Land", "2": "Water", "3": "Land"}
    assert reasons(outcome) == {"task 4": "the annotation names 2 classes"}


def test_choices_go_before_other_tags_unless_one_is_named(take: Take) -> None:
    content = export(
        *(task(n, [choice(("calm", "wild")[n % 2]), rating(n % 3 + 1), taxonomy([f"T{n % 2}", "x"])]) for n in range(6))
    )
    assert set(samples(take(content, "a.json")).values()) == {"calm", "wild"}
    assert set(samples(take(content, "a.json", label="stars")).values()) == {"1", "2", "3"}
    assert set(samples(take(content, "a.json", label="topic")).values()) == {"T0", "T1"}
    both = export(*(task(n, [rating(n % 3 + 1), taxonomy([f"T{n % 2}"])]) for n in range(6)))
    with pytest.raises(Invalid, match=r"which Rating or Taxonomy tag is the label\? stars, topic"):
        take(both, "a.json")


def row(number: int, **tags: Any) -> dict[str, Any]:
    return {
        "body": f"the river {number} rose",
        "id": number,
        **tags,
        "annotator": 1,
        "annotation_id": number + 50,
        "created_at": "2024-05-01T00:00:00Z",
        "updated_at": "2024-05-01T00:00:00Z",
        "lead_time": 1.5,
    }


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, sorted(rows[0]))
    writer.writeheader()
    writer.writerows({k: v if isinstance(v, str) else json.dumps(v) for k, v in one.items()} for one in rows)
    return file.getvalue()


@pytest.mark.parametrize("form", [json.dumps, as_csv])
def test_rows_with_stars_and_taxonomies_are_read_like_tasks(take: Take, form: Any) -> None:
    name = "a.json" if form is json.dumps else "a.csv"
    stars = [row(n, stars=[{"rating": n % 2 + 4}]) for n in range(6)]
    assert samples(take(form(stars), name, label="stars")) == {str(n): str(n % 2 + 4) for n in range(6)}
    topics = [row(n, topic=[{"taxonomy": [[("Land", "Water")[n % 2], "x"]]}]) for n in range(6)]
    topics.append(row(6, topic=[{"taxonomy": [["Land"], ["Water"]]}]))
    outcome = take(form(topics), name, label="topic")
    assert samples(outcome) == {str(n): ("Land", "Water")[n % 2] for n in range(6)}
    assert reasons(outcome) == {"task 6": "the annotation names 2 classes"}


def test_rows_beside_regions_are_told_of(take: Take) -> None:
    rows = [row(n, tone=("calm", "wild")[n % 2], phrase=[{"start": 0, "end": 3, "labels": ["X"]}]) for n in range(6)]
    outcome = take(json.dumps(rows), "a.json", label="tone")
    assert "the rows have regions in 'phrase', and do not say whether 'tone'" in said(outcome, "region_choices")
    plain = [{k: v for k, v in one.items() if k != "phrase"} for one in rows]
    assert "region_choices" not in take(json.dumps(plain), "a.json").codes


@pytest.mark.parametrize("name", ["is it 1?.png", "no #2.jpeg", "100%25 3.webp", "a&b=?d=4.jfif", "x#y?z.tif"])
def test_question_marks_and_hashes_are_letters_of_a_files_name(take: Take, name: str) -> None:
    from service.platforms.files import is_image

    assert is_image(name)
    assert is_image(f"folder #7/{name}")
    assert is_image("https://host/a.png?size=2#top")
    assert not is_image("https://host/page?of=1#a")
    assert not is_image("what is it?")


def fo(place: int, **fields: Any) -> dict[str, Any]:
    return {"_id": {"$oid": f"{place:024x}"}, "filepath": f"data/{place}.png", "tags": [], **fields}


def one_class(label: str, confidence: float | None = None) -> dict[str, Any]:
    return {"_cls": "Classification", "label": label, "confidence": confidence}


def fiftyone(rows: Sequence[dict[str, Any]]) -> bytes:
    return zip_of({"metadata.json": b"{}", "samples.json": json.dumps({"samples": rows}).encode(), **PICTURES})


def test_predictions_of_a_model_are_no_labels(take: Take) -> None:
    rows = [fo(n, guess=one_class("ab"[n % 2], 0.5), kin=one_class("cd"[n % 2], 0.7)) for n in range(8)]
    with pytest.raises(
        Invalid, match=r"predictions of a model, with a confidence each \(guess, kin\). Export the labels"
    ):
        take(fiftyone(rows), "fo.zip")
    assert set(take(fiftyone(rows), "fo.zip", label="guess").found.classes) == {"a", "b"}
    rows = [{**one, "truth": one_class("yx"[n % 2])} for n, one in enumerate(rows)]
    assert set(take(fiftyone(rows), "fo.zip").found.classes) == {"x", "y"}


def test_detections_alone_are_refused_with_the_reason(take: Take) -> None:
    boxes = {"_cls": "Detections", "detections": [{"_cls": "Detection", "label": "a", "bounding_box": [0, 0, 1, 1]}]}
    with pytest.raises(
        Invalid, match=r"its label fields are found \(Detections\); a class for the whole image is needed"
    ):
        take(fiftyone([fo(n, found=boxes) for n in range(8)]), "fo.zip")
    labels = {str(n): [{"label": "a", "bounding_box": [0, 0, 1, 1]}] for n in range(8)}
    with pytest.raises(Invalid, match="all labels of the FiftyOne file are detections"):
        take(labelled(labels), "fo.zip")


def labelled(labels: dict[str, Any], classes: Sequence[Any] | None = ("ash", "oak")) -> bytes:
    return zip_of({"labels.json": json.dumps({"classes": classes, "labels": labels}).encode(), **PICTURES})


def test_a_file_of_labels_with_confidences_alone_is_predictions(take: Take) -> None:
    labels: dict[str, Any] = {str(n): {"label": ("ash", "oak")[n % 2], "confidence": 0.5} for n in range(8)}
    with pytest.raises(Invalid, match="predictions of a model"):
        take(labelled(labels), "fo.zip")
    assert len(samples(take(labelled(labels), "fo.zip", label="label"))) == 8


def test_class_numbers_beyond_the_classes_are_skipped_and_texts_of_numbers_are_numbers(take: Take) -> None:
    labels = {"0": 0, "1": "1", "2": 1.0, "3": -1, "4": 2, "5": "-1", "6": 0.5, "7": "ash"}
    outcome = take(labelled(labels), "fo.zip")
    assert samples(outcome) == {"0": "ash", "1": "oak", "2": "oak", "7": "ash"}
    assert reasons(outcome)["sample 3"] == "its class number -1 is none of the 2 classes, 0 to 1"
    assert set(reasons(outcome)) == {"sample 3", "sample 4", "sample 5", "sample 6"}


def test_texts_that_are_names_of_classes_are_names_and_numbers_are_places(take: Take) -> None:
    outcome = take(labelled({str(n): n % 2 for n in range(4)} | {"5": "1", "6": "0"}, ["1", "0"]), "fo.zip")
    assert samples(outcome) == {"0": "1", "1": "0", "2": "1", "3": "0", "5": "1", "6": "0"}


def coco(categories: Sequence[dict[str, Any]], of_image: Sequence[Any]) -> bytes:
    found = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(len(of_image))],
        "annotations": [{"id": n, "image_id": n, "category_id": one} for n, one in enumerate(of_image)],
        "categories": list(categories),
    }
    return zip_of({"labels.json": json.dumps(found).encode(), **PICTURES})


def test_two_categories_of_one_name_stay_two(take: Take) -> None:
    categories = [{"id": 4, "name": "mole"}, {"id": 9, "name": "mole "}, {"id": 2, "name": "vole"}]
    outcome = take(coco(categories, [4, 9, 2, 4, 9, 2]), "coco.zip")
    assert outcome.found.class_counts == {"mole (id 4)": 2, "mole (id 9)": 2, "vole": 2}
    assert "several categories are called 'mole'" in said(outcome, "repeated_category")
    with pytest.raises(Invalid, match="two COCO categories have the id 4: 'mole' and 'vole'"):
        take(coco([{"id": 4, "name": "mole"}, {"id": 4, "name": "vole"}], [4, 4]), "coco.zip")


def test_ids_of_categories_may_be_texts_on_one_side(take: Take) -> None:
    categories: list[dict[str, Any]] = [{"id": "4", "name": "mole"}, {"id": 2, "name": "vole"}]
    assert take(coco(categories, [4, "2", 4, 2]), "coco.zip").found.class_counts == {"mole": 2, "vole": 2}
