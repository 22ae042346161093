"""Tables beside images that name them and give their labels."""

import gzip
import json
import unicodedata
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.domain.errors import Invalid
from tests.unit.ingest.uploads import Outcome, Take, csv_of, png, tar_of, zip_of

STEMS = [f"IMG {i:04d}é" for i in range(8)]
LABELS = ["wolf" if i % 2 else "lynx" for i in range(8)]


def pictures(form: str) -> dict[str, bytes]:
    """Images whose paths are `form` of their stem and number."""
    return {form.format(stem=stem, part=1 + i // 4): png(value=i + 1) for i, stem in enumerate(STEMS)}


def table(names: list[str], header: str = "picture,animal") -> bytes:
    """A CSV of names and labels."""
    return "\n".join([header, *(f"{name},{label}" for name, label in zip(names, LABELS, strict=True))]).encode()


def told(outcome: Outcome, code: str) -> str:
    """Details of the warnings with a code."""
    return " | ".join(one.detail for one in outcome.found.warnings if one.code == code)


def by_stem(outcome: Outcome) -> dict[str, str]:
    """The label of each image by the stem of its path."""
    stems = [path.rpartition("/")[2].rpartition(".")[0] for path in outcome.table["path"]]
    return dict(zip(stems, outcome.labels, strict=True))


@pytest.mark.parametrize(
    "form", ["{stem}.png", "images/{stem}.png", "x/wild_images_part_{part}/{stem}.PNG", "train/{stem}.png"]
)
@pytest.mark.parametrize(
    "named",
    [
        lambda stem: stem,
        lambda stem: f"{stem}.png",
        lambda stem: f"/home/me/set/{stem}.png",
        lambda stem: f"set\\{stem}.png",
        lambda stem: quote(f"{stem}.png"),
        lambda stem: unicodedata.normalize("NFD", f"./{stem}.png"),
        lambda stem: f"https://host/files/{quote(stem)}.png?x=1",
    ],
)
def test_a_list_is_found_by_the_images_that_it_names(take: Take, form: str, named: object) -> None:
    names = [named(stem) for stem in STEMS]  # type: ignore[operator]
    files = {
        path.replace(".PNG", ".png") if ".png" in names[0] else path: data for path, data in pictures(form).items()
    }
    outcome = take(zip_of({**files, "annotations.csv": table(names)}), "a.zip")
    assert by_stem(outcome) == dict(zip(STEMS, LABELS, strict=True))
    assert outcome.found.inferred.label == "animal"


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "jsonl", "parquet", "csv.gz"])
def test_a_list_may_be_any_table(take: Take, ending: str) -> None:
    match ending:
        case "jsonl":
            rows = zip(STEMS, LABELS, strict=True)
            content = "\n".join(json.dumps({"picture": stem, "animal": label}) for stem, label in rows).encode()
        case "parquet":
            sink = pa.BufferOutputStream()
            pq.write_table(pa.table({"picture": STEMS, "animal": LABELS}), sink)
            content = sink.getvalue().to_pybytes()
        case "csv.gz":
            import gzip

            content = gzip.compress(table(STEMS))
        case _:
            content = table(STEMS).replace(b",", b"," if ending == "csv" else b"\t")
    outcome = take(tar_of({**pictures("images/{stem}.png"), f"list.{ending}": content}), "a.tar")
    assert by_stem(outcome) == dict(zip(STEMS, LABELS, strict=True))


def test_the_column_that_names_most_images_is_the_name(take: Take) -> None:
    rows = [f"{i % 3},{stem},{i},{label}" for i, (stem, label) in enumerate(zip(STEMS, LABELS, strict=True))]
    content = "\n".join(["0,scan,row,target", *rows]).encode()
    outcome = take(zip_of({**pictures("{stem}.png"), "0.png": png(), "1.png": png(), "list.csv": content}), "a.zip")
    assert by_stem(outcome) == dict(zip(STEMS, LABELS, strict=True))
    assert sorted(row.where for row in outcome.skipped) == ["0.png", "1.png"]


def test_lists_of_splits_are_joined_and_say_the_split(take: Take) -> None:
    files = {f"{part}/{i}.png": png(value=i + 1, size=(5, len(part))) for part in ("train", "test") for i in range(4)}
    lists = {
        f"{part}.csv": "\n".join(["name,kind", *(f"{i}.png,{'ab'[i % 2]}" for i in range(4))]).encode()
        for part in ("train", "test")
    }
    outcome = take(zip_of({**files, **lists}), "a.zip")
    assert (outcome.found.splits, outcome.found.class_counts) == ({"train": 4, "test": 4}, {"a": 4, "b": 4})
    assert outcome.skipped == []


def test_splits_are_taken_from_the_folders_of_listed_images(take: Take) -> None:
    files = {f"{'train' if i < 6 else 'test'}_images/{stem}.png": png(value=i) for i, stem in enumerate(STEMS)}
    outcome = take(zip_of({**files, "labels.csv": table(STEMS)}), "a.zip")
    assert outcome.found.splits == {"train": 6, "test": 2}


def test_lists_with_different_columns_are_joined_by_image(take: Take) -> None:
    sizes = "\n".join(["file,width", *(f"{stem}.png,{i}" for i, stem in enumerate(STEMS))]).encode()
    outcome = take(
        zip_of({**pictures("i/{stem}.png"), "sizes.csv": sizes, "kinds.csv": table(STEMS)}), "a.zip", label="animal"
    )
    assert by_stem(outcome) == dict(zip(STEMS, LABELS, strict=True))
    assert outcome.skipped == []


def test_a_row_that_contradicts_an_earlier_one_is_told(take: Take) -> None:
    again = f"picture,animal\n{STEMS[0]},wolf\n{STEMS[1]},wolf\n".encode()
    outcome = take(zip_of({**pictures("i/{stem}.png"), "a.csv": table(STEMS), "b.csv": again}), "a.zip")
    assert [row.where for row in outcome.skipped] == ["b.csv line 2"]
    assert "has a row already, a.csv line 2" in outcome.skipped[0].reason


def test_a_form_for_answers_is_no_list(take: Take) -> None:
    answers = "\n".join(["picture,animal", *(f"{stem},lynx" for stem in STEMS[6:])]).encode()
    known = "\n".join(table(STEMS).decode().splitlines()[:7]).encode()
    outcome = take(zip_of({**pictures("i/{stem}.png"), "train.csv": known, "sample_submission.csv": answers}), "a.zip")
    assert outcome.found.rows == 6
    assert "sample_submission.csv" in told(outcome, "ignored_files")


def test_a_path_in_a_list_names_no_image_of_another_folder(take: Take) -> None:
    files = {f"{name}/{i}.png": png(value=i + 1) for name in ("left", "right") for i in range(3)}
    files["left/7.png"] = png(value=99)
    rows = [f"{path},{'ok' if '1' in path else 'bad'}" for path in files]
    content = "\n".join(["path,state", "right/7.png,ok", *rows]).encode()
    outcome = take(zip_of({**files, "right/9.png": png(), "states.csv": content}), "a.zip")
    assert dict(zip(outcome.table["path"], outcome.labels, strict=True))["left/7.png"] == "bad"
    assert sorted(row.where for row in outcome.skipped) == ["right/9.png", "states.csv line 2"]


def test_a_list_wins_over_class_folders_and_disagreement_is_told(take: Take) -> None:
    files = {f"{label}/{stem}.png": png(value=i + 1) for i, (stem, label) in enumerate(zip(STEMS, LABELS, strict=True))}
    wrong = table(STEMS).replace(b",lynx", b",wolf", 1)
    outcome = take(zip_of({**files, "labels.csv": wrong}), "a.zip")
    assert outcome.found.class_counts == {"lynx": 3, "wolf": 5}
    assert "1 images lie in another folder" in told(outcome, "folders_disagree")
    assert take(zip_of({**files, "labels.csv": wrong}), "a.zip", label="folder").found.class_counts == {
        "lynx": 4,
        "wolf": 4,
    }


def test_a_list_without_classes_leaves_them_to_the_folders(take: Take) -> None:
    files = {f"{label}/{stem}.png": png(value=i + 1) for i, (stem, label) in enumerate(zip(STEMS, LABELS, strict=True))}
    sizes = "\n".join(
        ["file,width,height", *(f"{stem}.png,{30 + i},{20 + i}" for i, stem in enumerate(STEMS))]
    ).encode()
    outcome = take(zip_of({**files, "sizes.csv": sizes}), "a.zip")
    assert outcome.found.class_counts == {"lynx": 4, "wolf": 4}
    assert "sizes.csv" in told(outcome, "folders_are_labels")


def test_other_class_folders_than_the_list_says_are_told(take: Take) -> None:
    files = {f"ward{'xyz'[i % 3]}/{stem}.png": png(value=i + 1) for i, stem in enumerate(STEMS)}
    outcome = take(zip_of({**files, "labels.csv": table(STEMS, "picture,label")}), "a.zip")
    assert outcome.found.class_counts == {"lynx": 4, "wolf": 4}
    assert "wardx, wardy, wardz" in told(outcome, "folders_not_used")


def test_one_hot_columns_of_a_list_are_a_label(take: Take) -> None:
    rows = [f"{stem},{int(label == 'lynx')},{int(label == 'wolf')}" for stem, label in zip(STEMS, LABELS, strict=True)]
    content = "\n".join(["image,lynx,wolf", *rows]).encode()
    files = zip_of({**pictures("images/{stem}.png"), "truth.csv": content})
    outcome = take(files, "a.zip", label=["lynx", "wolf"])
    assert outcome.found.class_counts == {"lynx": 4, "wolf": 4}


def test_masks_beside_listed_images_are_left_out(take: Take) -> None:
    files = {**pictures("images/{stem}.png"), **pictures("masks/{stem}.png")}
    outcome = take(zip_of({**files, "labels.csv": table(STEMS)}), "a.zip")
    assert outcome.found.rows == 8
    assert all(path.startswith("images/") for path in outcome.table["path"])
    assert told(outcome, "masks_left_out").startswith("8 masks")


def test_a_table_that_names_no_image_is_no_list(take: Take) -> None:
    files = {f"{name}/{i}.png": png(value=i + 1) for name in ("fir", "elm") for i in range(5)}
    outcome = take(
        zip_of({**files, "results.csv": b"epoch,loss\n1,.5\n2,.4\n", "notes.txt": b"hello, you\n", "b.txt": bytes(9)}),
        "a.zip",
    )
    assert outcome.found.class_counts == {"elm": 5, "fir": 5}
    assert "results.csv" in told(outcome, "ignored_files")


def test_images_without_class_folders_beside_a_foreign_list_are_refused(take: Take) -> None:
    with pytest.raises(Invalid, match=r"no label: .* no column of labels\.csv names the images"):
        take(zip_of({**pictures("images/{stem}.png"), "labels.csv": table([f"other{i}" for i in range(8)])}), "a.zip")


def test_images_that_no_list_names_keep_the_class_of_their_folder_where_the_labels_are_the_same(take: Take) -> None:
    files = {f"train/{name}/images/{i}{name}.png": png(value=i + 1) for name in ("newt", "frog") for i in range(4)}
    files |= {f"val/images/v{i}.png": png(value=i + 9) for i in range(4)}
    content = "\n".join(f"v{i}.png\t{('newt', 'frog')[i % 2]}\t0\t0" for i in range(4)).encode()
    outcome = take(zip_of({**files, "val/annotations.txt": content}), "a.zip")
    assert outcome.found.class_counts == {"frog": 6, "newt": 6}
    assert outcome.found.splits == {"train": 8, "validation": 4}
    assert told(outcome, "labels_from_folders").startswith("8 images")


@pytest.mark.parametrize("mark", [",", "\t", " "])
def test_a_list_without_a_header_loses_no_image(take: Take, mark: str) -> None:
    names = [stem.replace(" ", "") for stem in STEMS]
    files = {f"set/{name}.png": png(value=i + 1) for i, name in enumerate(names)}
    content = "\n".join(f"set/{name}.png{mark}{label}" for name, label in zip(names, LABELS, strict=True)).encode()
    outcome = take(zip_of({**files, "all.txt": content}), "a.zip")
    assert outcome.found.class_counts == {"lynx": 4, "wolf": 4}
    assert "all.txt" in told(outcome, "list_without_header")


def test_names_that_several_images_have_are_refused(take: Take) -> None:
    files = {f"{ward}/{i}.png": png(value=i + 1) for ward in ("ward1", "ward2") for i in range(4)}
    content = "\n".join(
        ["ward,scan,state", *(f"{path.replace('/', ',')},{'ab'[i % 2]}" for i, path in enumerate(files))]
    ).encode()
    with pytest.raises(
        Invalid, match=r"column 'scan' of states\.csv names images by names that several of them have.*'ward1/0\.png'"
    ):
        take(zip_of({**files, "states.csv": content}), "a.zip")


def test_names_may_differ_in_case(take: Take) -> None:
    files = {path.upper(): data for path, data in pictures("images/{stem}.jpg").items()}
    outcome = take(zip_of({**files, "labels.csv": table([f"{stem}.jpg" for stem in STEMS])}), "a.zip")
    assert outcome.found.class_counts == {"lynx": 4, "wolf": 4}


def test_the_column_of_names_may_be_the_id(take: Take) -> None:
    outcome = take(zip_of({**pictures("images/{stem}.png"), "labels.csv": table(STEMS)}), "a.zip", id="picture")
    assert outcome.table["id"] == STEMS
    assert outcome.found.inferred.label == "animal"


def test_a_few_images_beside_a_table_are_left_out_and_told(take: Take) -> None:
    outcome = take(zip_of({"data.csv": csv_of(12).encode(), "plots/a.png": png(), "logo.png": png()}), "a.zip")
    assert (outcome.found.modality, outcome.found.rows) == ("tabular", 12)
    assert "logo.png" in told(outcome, "ignored_files")


def test_class_folders_count_where_a_list_names_none_of_their_images(take: Take) -> None:
    files = {f"train/{kind}/{kind}{n}.png": png(value=n + 40) for kind in ("oak", "yew") for n in range(6)}
    files |= {f"val/{n}.png": png(value=n) for n in range(6)}
    files["answers.csv"] = csv_of(6, header="picture,answer", line="val/{i}.png,{t} 5 9").encode()
    outcome = take(zip_of(files), "trees.zip")
    assert outcome.found.class_counts == {"oak": 6, "yew": 6}
    assert "names none of the 12 images" in told(outcome, "folders_are_labels")


def test_splits_hold_although_some_images_lie_beside_them(take: Take) -> None:
    names = [f"{folder}/{n}.png" for folder in ("Train", "Test", "Icons") for n in range(4 if folder == "Icons" else 8)]
    files = {name: png(value=place) for place, name in enumerate(names)}
    rows = (f"{name},{('stop', 'yield')[place % 2]}" for place, name in enumerate(names))
    files["signs.csv"] = "\n".join(("file,sign", *rows)).encode()
    outcome = take(zip_of(files), "signs.zip")
    assert outcome.found.splits == {"train": 12, "test": 8}
    assert told(outcome, "images_beside_splits").startswith("4 images")


def test_an_object_of_images_and_labels_is_a_list(take: Take) -> None:
    files = {f"pictures/{n}.png": png(value=n) for n in range(12)}
    files["kinds.json"] = json.dumps({f"pictures/{n}.png": ("oak", "yew")[n % 2] for n in range(12)}).encode()
    assert take(zip_of(files), "trees.zip").found.class_counts == {"oak": 6, "yew": 6}


def test_columns_that_all_name_images_are_no_labels(take: Take) -> None:
    files = {f"pictures/{n}.png": png(value=n) for n in range(12)}
    names = [f"pictures/{n}.png" for n in range(12)]
    files["kinds.json"] = json.dumps({"oak": names[::2], "yew": names[1::2]}).encode()
    with pytest.raises(Invalid, match=r"no column of kinds\.json names the images"):
        take(zip_of(files), "trees.zip")


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("file,label", "{n}.png,{c}"),
        ("picture,label", "{n}.png,{c}"),
        ("id,label", "{n},{c}"),
        ("a,b", "{c},{n}"),
    ],
)
@pytest.mark.parametrize("name", ["labels.csv", "metadata.csv"])
def test_labels_that_are_numbers_do_not_count_as_names_of_numbered_images(
    take: Take, header: str, row: str, name: str
) -> None:
    files = {f"images/{n}.png": png(value=n) for n in range(12)}
    files[name] = "\n".join([header, *(row.format(n=n, c=n % 2) for n in range(12))]).encode()
    outcome = take(zip_of(files), "numbers.zip")
    assert (outcome.found.rows, outcome.found.skipped_rows) == (12, 0)
    assert by_stem(outcome) == {str(n): str(n % 2) for n in range(12)}


def numbered_splits() -> dict[str, bytes]:
    """Images of two splits that have the same names."""
    return {f"{split}/{n}.png": png(value=n) for split in ("train", "test") for n in range(1, 13)}


@pytest.mark.parametrize("name", ["trainLabels.csv", "TrainLabels.csv", "train_labels.csv", "labelsTrain.csv.gz"])
def test_a_list_called_by_its_split_names_the_images_of_that_split(take: Take, name: str) -> None:
    content = csv_of(12, header="id,label", line="{i},{c}").replace("\n0,", "\n12,").encode()
    files = {**numbered_splits(), name: gzip.compress(content) if name.endswith(".gz") else content}
    outcome = take(zip_of(files), "kaggle.zip")
    assert {path.split("/")[0] for path in outcome.table["path"]} == {"train"}
    assert (outcome.found.rows, outcome.found.skipped_rows) == (12, 12)


def test_names_without_ending_that_several_images_have_are_the_reason_of_a_refusal(take: Take) -> None:
    content = csv_of(12, header="id,label", line="{i},{c}").encode()
    with pytest.raises(
        Invalid, match=r"column 'id' of labels\.csv may be .* several images, such as \w+/1\.png and \w+/1\.png"
    ):
        take(zip_of({**numbered_splits(), "labels.csv": content}), "kaggle.zip")


def test_columns_of_one_hot_labels_do_not_count_as_names_of_numbered_images(take: Take) -> None:
    files = {f"images/{n}.jpg": png(value=n) for n in range(12)}
    rows = (f"{n}.jpg, {n % 2}, {1 - n % 2}" for n in range(12))
    files["_classes.csv"] = "\n".join(["filename, cat, dog", *rows]).encode()
    assert take(zip_of(files), "pets.zip", label=["cat", "dog"]).found.class_counts == {"cat": 6, "dog": 6}


def test_metadata_of_which_every_column_names_images_is_told_what_it_lacks(take: Take) -> None:
    files = {f"images/{n}.png": png(value=n) for n in range(12)}
    rows = (f"{n}.png,{(n + 1) % 12}.png" for n in range(12))
    files["metadata.csv"] = "\n".join(["left,right", *rows]).encode()
    with pytest.raises(Invalid, match=r"metadata\.csv needs a column of labels beside file_name; it has left, right"):
        take(zip_of(files), "pairs.zip")


def test_a_table_that_names_no_image_is_told_where_all_lie_in_one_folder(take: Take) -> None:
    files = {f"aligned/face_{n}_cut.png": png(value=n) for n in range(6)}
    files["moods.csv"] = csv_of(6, header="face,age,mood", line="face_{i}.png,{i},{t}").encode()
    with pytest.raises(Invalid, match=r"one folder 'aligned', and no column of moods\.csv names them"):
        take(zip_of(files), "faces.zip")


def test_names_that_lead_out_of_the_archive_are_the_reason_where_all_do(take: Take) -> None:
    files = {f"../{kind}/{n}.png": png(value=n) for kind in ("oak", "yew") for n in range(6)}
    with pytest.raises(Invalid, match=r"no image can be read; the first, .*leads out of the archive"):
        take(zip_of(files), "trees.zip")
