"""What is submitted comes back corrected in its own form, whatever library it is of; only the worker's part is written by hand."""

import asyncio
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pyarrow.dataset as arrow_datasets
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

from service.actions.find import find_dataset
from service.services import Services
from tests.builders import finish, ranking_of
from usual_suspects import AsyncClient, Client, Invalid, Job, WaitedTooLong
from usual_suspects.client import UnsuitableData

Finished = Callable[[Job], Job]
N = 30
NAMES = np.array(["cat", "dog", "eel"])
# The corrections of each test: row 4, a dog, is an eel; row 6, a cat, is removed.
CHANGED, REMOVED = 4, 6
RIGHT = [2 if place == CHANGED else place % 3 for place in range(N) if place != REMOVED]


@pytest.fixture
def suspects(server: str) -> Iterator[Client]:
    with Client(server) as client:
        yield client


@pytest.fixture
def finished(services: Services) -> Finished:
    """The job as a worker would leave it."""

    def end(job: Job) -> Job:
        info = find_dataset(services, job.dataset.id)
        finish(services.database, job.id, info, table=ranking_of(services.blobs, info))
        return job.refresh()

    return end


def repair(job: Job, label: str = "eel", names: tuple[str, str] = (f"row-{CHANGED}", f"row-{REMOVED}")) -> None:
    job.review(names[0], "relabel", label)
    job.review(names[1], "remove")


def frame(**index: Any) -> pd.DataFrame:
    place = np.arange(N)
    return pd.DataFrame(
        {
            "weight": place / 2,
            "count": (place % 7).astype("int8"),
            "when": pd.date_range("2024-01-01", periods=N, freq="h", unit="s"),
            "colour": pd.Categorical(
                np.array(["red", "blue"])[place % 2], categories=["green", "red", "blue"], ordered=True
            ),
            "kind": NAMES[place % 3],
        },
        **index,
    )


def mended(given: pd.DataFrame) -> pd.DataFrame:
    right = given.copy()
    right.iloc[CHANGED, right.columns.get_loc("kind")] = "eel"
    return right.drop(index=given.index[REMOVED])


@pytest.mark.parametrize("again", [False, True], ids=["same session", "new session"])
@pytest.mark.parametrize(
    ("index", "names"),
    [
        (None, ("row-4", "row-6")),
        (pd.RangeIndex(10, 10 + 2 * N, 2), ("row-4", "row-6")),
        (pd.Index([f"s{number}" for number in range(N)], name="sample"), ("s4", "s6")),
        (pd.Index(np.arange(N)[::-1] * 7), ("175", "161")),
        (pd.RangeIndex(N, name="number"), ("4", "6")),
    ],
    ids=["default", "steps", "named", "shuffled", "named range"],
)
def test_a_pandas_frame_keeps_its_index_and_its_types(
    suspects: Client, finished: Finished, index: Any, names: tuple[str, str], again: bool
) -> None:
    given = frame(index=index)
    job = finished(suspects.submit(given, label="kind"))
    assert job.dataset.info.rows == N
    repair(job, names=names)
    found = (suspects.job(job.id) if again else job).corrected()
    pd.testing.assert_frame_equal(found, mended(given))
    pd.testing.assert_frame_equal(given, frame(index=index))
    assert {feature.name for feature in job.dataset.info.features} == {"weight", "count", "when", "colour"}


def test_nothing_corrected_is_the_frame_that_was_given(suspects: Client, finished: Finished) -> None:
    given = frame()
    job = finished(suspects.submit(given, label="kind"))
    job.review("row-1", "keep")
    pd.testing.assert_frame_equal(job.corrected(), given, check_index_type="exact")


def test_an_index_with_repeated_values_names_no_samples(suspects: Client, finished: Finished) -> None:
    given = pd.concat([frame().iloc[:15], frame().iloc[:15]])
    job = finished(suspects.submit(given, label="kind"))
    repair(job)
    found = job.corrected()
    assert found.index.tolist() == [*range(6), *range(7, 15), *range(15)]
    assert found["kind"].tolist()[CHANGED] == "eel"


def test_a_multi_index_comes_back(suspects: Client, finished: Finished) -> None:
    levels = pd.MultiIndex.from_product([["a", "b", "c"], range(10)], names=["site", None])
    given = frame(index=levels)
    job = finished(suspects.submit(given, label="kind"))
    repair(job)
    pd.testing.assert_frame_equal(job.corrected(), mended(given))


@pytest.mark.parametrize("kind", ["int64", "Int8", "category", "str", "object"])
def test_labels_keep_their_type(suspects: Client, finished: Finished, kind: str) -> None:
    values = pd.Series(np.arange(N) % 3).astype(kind)
    given = pd.DataFrame({"x": np.arange(N) / 4, "target": values})
    job = finished(suspects.submit(given, label="target"))
    repair(job, "2")
    found = job.corrected()["target"]
    right = values.copy()
    right[CHANGED] = type(values[2])(values[2])
    pd.testing.assert_series_equal(found, right.drop(REMOVED), check_names=False)


def test_labels_beside_the_frame_come_back_beside_it(suspects: Client, finished: Finished) -> None:
    given = frame()
    job = finished(suspects.submit(given.drop(columns="kind"), given["kind"].rename("other")))
    assert job.dataset.info.classes == ("cat", "dog", "eel")
    repair(job)
    x, y = job.corrected()
    pd.testing.assert_frame_equal(x, mended(given).drop(columns="kind"))
    assert y.tolist() == mended(given)["kind"].tolist()


@pytest.mark.parametrize("again", [False, True], ids=["same session", "new session"])
def test_a_polars_frame_comes_back(suspects: Client, finished: Finished, again: bool) -> None:
    given = pl.from_pandas(frame()).with_columns(
        pl.col("colour").cast(pl.Enum(["green", "red", "blue"])), pl.Series("vector", [[1.0, 2.0]] * N)
    )
    job = finished(suspects.submit(given, label="kind", exclude=["vector"]))
    repair(job)
    found = (suspects.job(job.id) if again else job).corrected()
    right = given.with_columns(
        pl.when(pl.int_range(pl.len()) == CHANGED).then(pl.lit("eel")).otherwise("kind").alias("kind")
    ).filter(pl.int_range(pl.len()) != REMOVED)
    if again:
        right = right.with_columns(pl.col("colour").cast(found.schema["colour"]))
    pl.testing.assert_frame_equal(found, right)


def test_a_lazy_frame_comes_back_lazy(suspects: Client, finished: Finished) -> None:
    given = pl.from_pandas(frame()).lazy().with_columns(pl.col("weight") * 2)
    job = finished(suspects.submit(given, label="kind"))
    repair(job)
    found = job.corrected()
    assert isinstance(found, pl.LazyFrame)
    assert found.collect()["kind"].to_list() == mended(frame())["kind"].tolist()
    assert found.collect_schema() == given.collect_schema()


def arrow_table() -> pa.Table:
    return pa.Table.from_pandas(frame(), preserve_index=False).replace_schema_metadata({"mine": "kept"})


@pytest.mark.parametrize(
    "given",
    [
        arrow_table,
        lambda: arrow_table().to_reader(max_chunksize=7),
        lambda: arrow_datasets.dataset(arrow_table()),
        lambda: arrow_table().combine_chunks().to_batches()[0],
    ],
    ids=["table", "reader", "dataset", "batch"],
)
def test_arrow_data_come_back_as_a_table(suspects: Client, finished: Finished, given: Callable[[], Any]) -> None:
    job = finished(suspects.submit(given(), label="kind"))
    repair(job)
    found = job.corrected()
    assert found.schema.equals(arrow_table().schema, check_metadata=True)
    assert found.column("kind").to_pylist() == mended(frame())["kind"].tolist()
    assert found.column("weight").to_pylist() == mended(frame())["weight"].tolist()


@pytest.mark.parametrize(
    ("y", "label"),
    [(np.arange(N) % 3, "2"), (NAMES[np.arange(N) % 3], "eel"), (NAMES[np.arange(N) % 3].astype(object), "eel")],
    ids=["numbers", "texts", "objects"],
)
@pytest.mark.parametrize("shape", [(N, 4), (N, 8, 6)])
def test_arrays_come_back(suspects: Client, finished: Finished, y: Any, label: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 255, shape).astype("uint8" if len(shape) > 2 else "float32")
    job = finished(suspects.submit(x, y))
    repair(job, label)
    found_x, found_y = job.corrected()
    right = y.copy()
    right[CHANGED] = right[2]
    np.testing.assert_array_equal(found_x, np.delete(x, REMOVED, axis=0))
    np.testing.assert_array_equal(found_y, np.delete(right, REMOVED))
    assert (found_x.dtype, found_y.dtype) == (x.dtype, y.dtype)


def test_lists_of_texts_and_of_rows_come_back(suspects: Client, finished: Finished) -> None:
    texts = [f"a sentence of some words about number {number}" for number in range(N)]
    labels = NAMES[np.arange(N) % 3].tolist()
    right = [label if place != CHANGED else "eel" for place, label in enumerate(labels)]
    del right[REMOVED]
    job = finished(suspects.submit(texts, labels))
    assert job.dataset.info.modality == "text"
    repair(job)
    assert job.corrected() == ([text for place, text in enumerate(texts) if place != REMOVED], right)
    rows = [{"weight": place / 2, "kind": label} for place, label in enumerate(labels)]
    job = finished(suspects.submit(rows, label="kind"))
    repair(job)
    assert [row["kind"] for row in job.corrected()] == right


def hugging_face() -> datasets.Dataset:
    features = datasets.Features(
        {"weight": datasets.Value("float32"), "kind": datasets.ClassLabel(names=NAMES.tolist())}
    )
    return datasets.Dataset.from_dict({"weight": np.arange(N) / 2, "kind": np.arange(N) % 3}, features=features)


@pytest.mark.parametrize("again", [False, True], ids=["same session", "new session"])
def test_a_hugging_face_dataset_comes_back(suspects: Client, finished: Finished, again: bool) -> None:
    given = hugging_face()
    job = finished(suspects.submit(given, label="kind"))
    assert job.dataset.info.classes == ("cat", "dog", "eel")
    repair(job)
    found = (suspects.job(job.id) if again else job).corrected()
    assert found.features == given.features
    right = np.arange(N) % 3
    right[CHANGED] = 2
    assert found["kind"][:] == np.delete(right, REMOVED).tolist()
    assert given["kind"][:] == (np.arange(N) % 3).tolist()


def test_a_hugging_face_dictionary_comes_back_by_split(suspects: Client, finished: Finished) -> None:
    whole = hugging_face()
    given = datasets.DatasetDict(train=whole.select(range(24)), test=whole.select(range(24, N)))
    job = finished(suspects.submit(given, label="kind"))
    assert job.dataset.info.splits == {"train": 24, "test": 6}
    repair(job)
    found = job.corrected()
    assert {name: len(part) for name, part in found.items()} == {"train": 23, "test": 6}
    assert found["train"].features == whole.features
    assert found["train"]["kind"][CHANGED] == 2


def picture(number: int) -> Image.Image:
    return Image.new("RGB", (8 + number % 2, 8), (number * 8, 0, 100))


def test_hugging_face_images_come_back(suspects: Client, finished: Finished, tmp_path: Path) -> None:
    paths = []
    for number in range(N):
        paths.append(str(tmp_path / f"{number}.png"))
        picture(number).save(paths[-1])
    columns = {"image": paths, "kind": (np.arange(N) % 3).tolist()}
    features = datasets.Features({"image": datasets.Image(), "kind": datasets.ClassLabel(names=NAMES.tolist())})
    given = datasets.Dataset.from_dict(columns, features=features)
    job = finished(suspects.submit(given))
    assert (job.dataset.info.modality, job.dataset.info.classes) == ("image", ("cat", "dog", "eel"))
    by_place = {one.sample.index: one.sample.id for one in job.suspects()}
    repair(job, names=(by_place[CHANGED], by_place[REMOVED]))
    found = job.corrected()
    assert found.features == given.features
    assert found["kind"][:] == RIGHT
    assert found[REMOVED]["image"].tobytes() == picture(REMOVED + 1).tobytes()


class Pictures(Dataset[Any]):
    """PIL images with the number of their class."""

    classes = NAMES.tolist()

    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> Any:
        return picture(index), index % 3


class Dictionaries(Dataset[Any]):
    def __len__(self) -> int:
        return N

    def __getitem__(self, index: int) -> Any:
        return {"pixels": torch.full((1, 6, 5), index / N), "note": "text", "label": torch.tensor(index % 3)}


@pytest.mark.parametrize("again", [False, True], ids=["same session", "new session"])
def test_a_torch_dataset_comes_back(suspects: Client, finished: Finished, again: bool) -> None:
    x = torch.randn(N, 5)
    given = TensorDataset(x, torch.arange(N) % 3)
    job = finished(suspects.submit(given))
    repair(job, "2")
    found = suspects.job(job.id).corrected(given) if again else job.corrected()
    assert isinstance(found, Dataset)
    loaded_x, loaded_y = next(iter(DataLoader(found, batch_size=N)))
    assert loaded_y.tolist() == RIGHT
    torch.testing.assert_close(loaded_x, x[[place for place in range(N) if place != REMOVED]])


def test_a_torch_dataset_of_images_has_the_names_of_its_classes(suspects: Client, finished: Finished) -> None:
    job = finished(suspects.submit(Pictures()))
    assert (job.dataset.info.modality, job.dataset.info.classes) == ("image", ("cat", "dog", "eel"))
    repair(job)
    found = job.corrected()
    assert [label for _, label in found] == RIGHT
    assert found[REMOVED][0].size == picture(REMOVED + 1).size
    again = suspects.job(job.id).corrected(Pictures())
    assert [label for _, label in again] == RIGHT


def test_a_torch_dataset_of_dictionaries_comes_back(suspects: Client, finished: Finished) -> None:
    job = finished(suspects.submit(Dictionaries()))
    assert job.dataset.info.modality == "image"
    repair(job, "2")
    found = job.corrected()
    assert [item["label"].item() for item in found] == RIGHT
    assert found[0]["label"].dtype == torch.int64


def test_a_folder_of_images_comes_back_as_a_torch_dataset(suspects: Client, finished: Finished, tmp_path: Path) -> None:
    for number in range(N):
        place = tmp_path / "zoo" / str(NAMES[number % 3]) / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(place)
    (tmp_path / "zoo" / ".hidden").write_text("left out")
    job = finished(suspects.submit(tmp_path / "zoo"))
    assert (job.name, job.dataset.info.rows, job.dataset.info.skipped_rows) == ("zoo", N, 0)
    repair(job, names=("dog/04.png", "cat/06.png"))
    for found in (job.corrected(), suspects.job(job.id).corrected(str(tmp_path / "zoo"))):
        assert found.classes == ["cat", "dog", "eel"]
        labels = {path.name: found.classes[target] for path, target in found.samples}
        assert labels["04.png"] == "eel"
        assert "06.png" not in labels
        assert len(found) == N - 1
        assert found[0][0].size == picture(0).size
    packed = job.corrected(path=tmp_path / "fixed.zip")
    assert packed.stat().st_size > 0


def test_classes_that_a_spreadsheet_would_compute_come_back(
    suspects: Client, finished: Finished, tmp_path: Path
) -> None:
    """The list of what became of each sample is CSV, whose texts are made safe for spreadsheets by default."""
    signs = ["+", "-", "@none"]
    for number in range(N):
        place = tmp_path / "signs" / signs[number % 3] / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(place)
    job = finished(suspects.submit(tmp_path / "signs"))
    repair(job, "@none", names=("-/04.png", "+/06.png"))
    found = job.corrected()
    assert found.classes == signs
    assert {path.name: found.classes[target] for path, target in found.samples}["04.png"] == "@none"
    assert all(path.exists() for path, _ in found.samples)


def test_a_file_comes_back_as_a_file(
    suspects: Client, finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = Path("zoo.csv")
    frame()[["weight", "kind"]].to_csv(given, index=False)
    job = finished(suspects.submit("zoo.csv", label="kind"))
    repair(job)
    found = job.corrected()
    assert found == Path("zoo.corrected.csv")
    lines = given.read_text().splitlines()
    lines[5] = lines[5].replace("dog", "eel")
    del lines[7]
    assert found.read_text().splitlines() == lines
    assert job.corrected(format="pandas")["kind"].tolist() == mended(frame())["kind"].tolist()
    assert job.corrected(format="polars")["kind"].to_list() == mended(frame())["kind"].tolist()
    with pytest.raises(UnsuitableData, match="expected one of pandas"):
        job.corrected(format="excel")
    with pytest.raises(UnsuitableData, match="the upload was csv"):
        job.corrected(format="numpy")


def test_rankings_are_tables_of_every_library(suspects: Client, finished: Finished, tmp_path: Path) -> None:
    given = frame()
    job = finished(suspects.submit(given, label="kind"))
    job.review("row-3", "keep", reviewer="Noor")
    whole = job.suspects().to_arrow()
    assert whole.num_rows == N == job.suspects().count()
    assert whole.column("sample_id").to_pylist() == [one.sample.id for one in job.suspects()]
    for limit in (0, 7, N + 5):
        part = job.suspects(limit=limit).to_arrow()
        if limit:
            assert part.equals(whole.slice(0, limit))
        assert part.num_rows == min(limit, N)
    shown = job.suspects(by="si", label="dog", signals=["si", "aum"]).to_pandas()
    assert [*shown.columns][-2:] == ["si", "aum"]
    assert given.iloc[shown["index"]]["kind"].unique().tolist() == ["dog"]
    assert job.suspects(verdict="mislabeled").to_polars().height == N
    table = job.suspects().to_cleanlab()
    assert table.index.tolist() == list(range(N))
    assert table.columns.tolist() == ["is_label_issue", "label_quality", "given_label", "predicted_label"]
    assert table["given_label"].tolist() == given["kind"].tolist()
    score = {one.sample.index: one.score for one in job.suspects()}
    assert table["label_quality"].tolist() == [1 - score[place] for place in range(N)]
    assert job.suspects().save(tmp_path / "ranking.csv", "csv").read_text().startswith("rank,sample_id")


def test_reviews_are_taken_one_by_one_or_as_a_frame(suspects: Client, finished: Finished) -> None:
    job = finished(suspects.submit(frame(), label="kind"))
    job.review(["row-0", "row-1"], "keep", reviewer="Noor")
    rows = {
        "sample_id": ["row-2", "row-3", "row-4"],
        "decision": ["remove", "relabel", "unsure"],
        "label": [None, "cat", None],
    }
    for table in (pd.DataFrame(rows), pl.DataFrame(rows), pa.table(rows)):
        assert job.review(table).recorded == 3
    assert job.review(pd.Series(["row-5"]), "keep").reviewed == 6
    said = job.reviews().to_list()
    assert [(one.sample_id, one.decision, one.label, one.reviewer) for one in said[:4]] == [
        ("row-0", "keep", None, "Noor"),
        ("row-1", "keep", None, "Noor"),
        ("row-2", "remove", None, None),
        ("row-3", "relabel", "cat", None),
    ]
    assert job.review_summary().reviewed == 6
    with pytest.raises(Invalid, match="at least one"):
        job.review([], "keep")
    with pytest.raises(TypeError, match="sample_id"):
        job.review([{"id": "row-3"}], "keep")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((3, 2)), "labels are missing"),
        (object(), "cannot be uploaded: give a frame"),
        ((np.zeros((3, 2)), [1, 2]), "x has 3 rows and y has 2"),
        ((np.array([{}, {}]), [1, 2]), "holds Python objects"),
        (pd.DataFrame({"a": [1, "x", 2.5j]}), "mixes types"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "several columns 'a'"),
        (DataLoader(TensorDataset(torch.zeros(3, 2), torch.zeros(3))), "its .dataset"),
        (TensorDataset(torch.zeros(3, 2), torch.zeros(3, 2)), "several labels"),
    ],
    ids=["no labels", "object", "lengths", "objects", "mixed", "columns", "loader", "one-hot"],
)
def test_data_that_do_not_fit_are_refused_with_the_cure(data: Any, words: str) -> None:
    with Client("http://127.0.0.1:1") as client, pytest.raises(UnsuitableData, match=words):
        client.submit(data)


def test_the_asynchronous_client_submits_and_corrects(server: str, services: Services) -> None:
    given = frame()

    async def run() -> Any:
        async with AsyncClient(server) as client:
            job = await client.submit(given, label="kind")
            info = find_dataset(services, job.dataset.id)
            finish(services.database, job.id, info, table=ranking_of(services.blobs, info))
            await job.wait()
            await job.review("row-4", "relabel", "eel")
            await job.review("row-6", "remove")
            ranked = await job.suspects(limit=3).to_pandas()
            assert [one.sample.id async for one in job.suspects(limit=3)] == ranked["sample_id"].tolist()
            return await job.corrected()

    pd.testing.assert_frame_equal(asyncio.run(run()), mended(given))


def test_all_samples_of_a_filter_are_decided_on_and_undone_at_once(suspects: Client, finished: Finished) -> None:
    job = finished(suspects.submit(frame(), label="kind"))
    dogs = job.suspects(label="dog", disagrees=True)
    counted = dogs.review("relabel", dry_run=True)
    assert (counted.matched, counted.written, counted.batch) == (dogs.count(), 0, None)
    done = dogs.review("relabel", reviewer="Noor")
    assert done.written == dogs.count() == 10
    assert {one.label for one in job.reviews()} == {one.suggested_label for one in dogs}
    assert job.suspects(reviewed=True).count() == 10
    assert [one.sample.id for one in job.suspects(search="row-17")] == ["row-17"]
    assert done.batch is not None
    assert job.undo(done.batch).restored == 10
    assert job.suspects(reviewed=True).count() == 0
    pairs = {(one.given, one.suggested): one.count for one in job.confusion()}
    assert sum(pairs.values()) == job.suspects(disagrees=True).count()
    with pytest.raises(ValueError, match="a limit holds for lists"):
        job.suspects(limit=3).review("keep")


def test_a_rerun_is_waited_for_and_says_why_it_cannot_be(suspects: Client, finished: Finished) -> None:
    patient, hasty = (finished(suspects.submit(frame(), label="kind", name=name)) for name in ("patient", "hasty"))
    repair(hasty)
    with pytest.raises(WaitedTooLong, match="had not begun"):
        hasty.rerun(timeout=0)
    job = patient
    repair(job)
    following = job.rerun()
    assert following.id != job.id
    assert following.dataset.info.lineage is not None
    assert [one.job for one in job.lineage()] == [job.id, following.id]
    with pytest.raises(Invalid, match="no review of this job"):
        finished(following).version()
    pd.testing.assert_frame_equal(following.corrected(), mended(frame()))
    following.review("row-0", "keep")
    pd.testing.assert_frame_equal(following.corrected(), mended(frame()))


def test_a_sample_can_be_looked_at(suspects: Client, finished: Finished) -> None:
    job = finished(suspects.submit(Pictures()))
    media = job.dataset.media("row-3")
    assert Image.open(io.BytesIO(media)).size == picture(3).size
    assert job.dataset.sample("row-3").label == "cat"
    assert suspects.dataset(job.dataset.id).info.columns
    assert [one.id for one in suspects.datasets()] == [job.dataset.id]
    assert job.groups().items[0].label == "dog"
    assert len(job.signals()) > 5
    assert "<html" in job.report()
