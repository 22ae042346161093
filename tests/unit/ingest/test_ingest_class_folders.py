"""Which level of folders names the class of an image, and which are splits, parts or masks."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import Invalid
from service.ingest.readers.class_folders import Folder, roles_of_folders
from service.ingest.values import split_name
from tests.unit.ingest.uploads import Outcome, Take, png, tar_of, zip_of


def tree(*patterns: str, each: int = 3) -> dict[str, bytes]:
    """Images in all the folders that the patterns mean: `train,test/fir,elm` are four folders."""
    folders = (
        "/".join(filter(None, one))
        for text in patterns
        for one in product(*(part.split(",") for part in text.split("/")))
    )
    paths = (f"{folder}/{i}.png".lstrip("/") for folder in folders for i in range(each))
    return {path: png(value=place % 250 + 1, size=(4 + place // 250, 4)) for place, path in enumerate(paths)}


def told(outcome: Outcome, code: str) -> str:
    """Details of the warnings with a code."""
    return " | ".join(one.detail for one in outcome.found.warnings if one.code == code)


@pytest.mark.parametrize(
    ("outer", "splits"),
    [
        ("train_set,test_set", {"train": 6, "test": 6}),
        ("train,eval", {"train": 6, "validation": 6}),
        ("TRAIN,holdout", {"train": 6, "test": 6}),
        ("training_images,test1", {"train": 6, "test": 6}),
        ("trainset,valset,testset", {"train": 6, "validation": 6, "test": 6}),
        ("data/split/train,dev", {"train": 6, "validation": 6}),
        ("train2017,val2017", {"train": 6, "validation": 6}),
    ],
)
def test_folders_that_are_called_so_are_splits(take: Take, outer: str, splits: dict[str, int]) -> None:
    outcome = take(zip_of(tree(f"{outer}/fir,elm")), "a.zip")
    assert outcome.found.classes == ["elm", "fir"]
    assert outcome.found.splits == splits
    assert outcome.found.inferred.split == "split"


def test_a_split_may_stand_twice_above_the_classes(take: Take) -> None:
    files = tree("seg_train/seg_train/sea,street", "seg_test/seg_test/sea,street", "seg_pred/seg_pred")
    outcome = take(zip_of(files), "a.zip")
    assert (outcome.found.classes, outcome.found.splits) == (["sea", "street"], {"train": 6, "test": 6})
    assert {row.where.split("/")[0] for row in outcome.skipped} == {"seg_pred"}
    assert all("beside the splits" in row.reason for row in outcome.skipped)


def test_splits_may_lie_inside_the_classes(take: Take) -> None:
    outcome = take(zip_of(tree("fir,elm/train,test")), "a.zip")
    assert (outcome.found.class_counts, outcome.found.splits) == ({"elm": 6, "fir": 6}, {"train": 6, "test": 6})


@pytest.mark.parametrize(
    "outer", ["fold0,fold1,fold2", "part_1,part_2", "batch1,batch2", "Set A,Set B", "images_001,images_002"]
)
def test_parts_of_the_data_are_no_classes_and_are_told(take: Take, outer: str) -> None:
    outcome = take(tar_of(tree(f"{outer}/fir,elm")), "a.tar")
    assert outcome.found.classes == ["elm", "fir"]
    assert set(outcome.found.splits) == {"train"}
    assert outer.split(",", maxsplit=1)[0] in told(outcome, "folders_are_parts")


def test_folders_that_hold_the_same_folders_are_parts_and_the_client_may_disagree(take: Take) -> None:
    files = zip_of(tree("oslo,bern,lima/day,night", "bern/dusk"))
    outcome = take(files, "a.zip")
    assert outcome.found.classes == ["day", "dusk", "night"]
    assert "spec.label to 'part'" in told(outcome, "folders_are_parts")
    assert take(files, "a.zip", label="part").found.classes == ["bern", "lima", "oslo"]


def test_numbered_folders_inside_are_no_classes(take: Take) -> None:
    assert take(zip_of(tree("anna,bob/1,2,3")), "a.zip").found.class_counts == {"anna": 9, "bob": 9}
    assert take(zip_of(tree("anna,bob/images")), "a.zip").found.class_counts == {"anna": 3, "bob": 3}
    assert take(zip_of(tree("fold1,fold2/0,1,2")), "a.zip").found.class_counts == {"0": 6, "1": 6, "2": 6}


def test_images_of_a_split_in_a_folder_of_any_class_have_no_class(take: Take) -> None:
    outcome = take(zip_of(tree("train/n1,n2/images", "val/images")), "a.zip")
    assert (outcome.found.classes, outcome.found.rows) == (["n1", "n2"], 6)
    assert {row.reason for row in outcome.skipped} == {"not in a class folder"}


@pytest.mark.parametrize(
    "pattern",
    [
        "images",
        "train,test",
        "train,eval/images",
        "fold0,fold1",
        "part_1,part_2",
        "archive/scan_images_part_1,scan_images_part_2",
        "set1,set2/images",
    ],
)
def test_nothing_but_parts_is_refused(take: Take, pattern: str) -> None:
    with pytest.raises(Invalid, match=r"no label: the names of the folders .* file_name and label"):
        take(zip_of(tree(pattern)), "a.zip")


def test_one_class_that_is_called_like_a_split_is_a_class(take: Take) -> None:
    assert take(zip_of(tree("train,car,ship")), "a.zip").found.classes == ["car", "ship", "train"]


@pytest.mark.parametrize("names", [("Na", "null", "K"), ("None", "nan", "NA"), ("N/A", "?", "#N/A")])
def test_classes_that_look_like_missing_values_are_kept_as_folders(names: tuple[str, ...]) -> None:
    roles = roles_of_folders({tuple(name.split("/")[:1]): 2 for name in names})
    assert roles.classes == sorted(name.split("/")[0] for name in names)


_CLASS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=2, max_size=6).filter(
    lambda name: (
        split_name(name) is None and name not in ("images", "image", "data", "raw", "all", "files", "pics", "input")
    )
)


@given(
    st.lists(_CLASS, min_size=2, max_size=6, unique=True),
    st.integers(2, 4),
    st.sampled_from(["fold{}", "part_{}", "Batch {}"]),
)
def test_numbered_parts_never_change_the_classes(classes: list[str], parts: int, form: str) -> None:
    folders: dict[Folder, int] = {(form.format(part), name): 1 for part in range(parts) for name in classes}
    assert roles_of_folders(folders).classes == sorted(classes)
    assert roles_of_folders({(name,): 1 for name in classes}).classes == sorted(classes)


@pytest.mark.parametrize(
    "pattern",
    [
        "images,masks",
        "train,val/images,labels",
        "Input,GroundTruth",
        "train,train_labels",
        "a,b,c/images,masks",
        "JPEGImages,SegmentationClass",
    ],
)
def test_masks_are_no_classes(take: Take, pattern: str) -> None:
    with pytest.raises(Invalid, match="segmentation is not supported"):
        take(zip_of(tree(pattern)), "a.zip")


@pytest.mark.parametrize("pattern", ["with_mask,without_mask", "mask,no_mask", "shirts,masks,shoes"])
def test_a_class_may_be_called_mask(take: Take, pattern: str) -> None:
    assert take(zip_of(tree(pattern)), "a.zip").found.classes == sorted(pattern.split(","))


def test_masks_beside_their_images_are_no_samples(take: Take) -> None:
    files = tree("benign,malignant")
    outcome = take(zip_of({**files, "benign/0_mask.png": png(), "malignant/2_mask_1.png": png()}), "a.zip")
    assert outcome.found.rows == 6
    assert [row.reason for row in outcome.skipped] == [
        "a mask of benign/0.png, which is no sample",
        "a mask of malignant/2.png, which is no sample",
    ]


@pytest.mark.parametrize("name", ["steam_train", "control", "tested", "valid_until", "train test"])
def test_words_that_merely_contain_a_split_are_none(name: str) -> None:
    assert split_name(name) is None


def test_a_folder_that_holds_splits_beside_a_split_is_no_class(take: Take) -> None:
    outcome = take(zip_of(tree("leaves/leaves/train,valid/rust,mildew", "test/test", each=4)), "leaves.zip")
    assert outcome.found.class_counts == {"rust": 8, "mildew": 8}
    assert outcome.found.splits == {"train": 8, "validation": 8}
    assert {row.reason for row in outcome.skipped} == {"not in a class folder"}


@pytest.mark.parametrize("inner", ["patient1,patient2,patient3", "Case 01,Case 02", "video_7,video_8"])
def test_numbered_patients_and_recordings_are_no_classes(take: Take, inner: str) -> None:
    assert set(take(zip_of(tree(f"stable,unstable/{inner}")), "scans.zip").found.class_counts) == {"stable", "unstable"}


def test_folders_that_several_classes_hold_are_told(take: Take) -> None:
    outcome = take(zip_of(tree("hand,elbow/clear,broken")), "joints.zip", label="label")
    assert set(outcome.found.classes) in ({"hand", "elbow"}, {"clear", "broken"})
    assert told(outcome, "folders_are_parts") or told(outcome, "folders_within_classes")
    deep = take(zip_of(tree("hand/p1,p2/clear,broken", "elbow/p3,p4/clear,broken")), "joints.zip")
    assert set(deep.found.classes) == {"hand", "elbow"}
    assert "broken, clear" in told(deep, "folders_within_classes")
    assert not told(take(zip_of(tree("hand/p1,p2", "elbow/p3,p4")), "joints.zip"), "folders_within_classes")
