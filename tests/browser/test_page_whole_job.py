"""From a file to the corrected file, by a person with a browser: a real service, a real worker, three kinds of data."""

import csv
import io
import random
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Download, Page, expect

from tests.browser.conftest import PAGE, Watched, eventually
from tests.integration.installation import eager, installed, table

_TRAINED_MS = 240_000  # a job on a busy machine
_EVERY = 9  # each ninth label is wrong


@pytest.fixture
def server(tmp_path: Path, redis_url: str, migrated_sqlite: Path) -> Iterator[str]:
    """URL of a service with a worker."""
    url = f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'suspects.db')}"
    with installed(eager(tmp_path / "home", url, redis_url)) as opened, opened.worker():
        yield str(opened.client.base_url).rstrip("/")


@pytest.fixture
def person(browser: Browser, server: str) -> Iterator[Page]:
    """A page of somebody who is known by name, about which nothing may be left to object."""
    context = browser.new_context(base_url=server, viewport={"width": 1440, "height": 900}, locale="en-GB")
    watched, page = Watched(server), context.new_page()
    watched.watch(page)
    yield page
    context.close()
    assert (watched.complaints, watched.elsewhere, watched.refused) == ([], [], [])


def submit(page: Page, file: Path, *options: Callable[[Page], None]) -> None:
    """Upload a file, start the job, and wait for its ranking."""
    page.goto(PAGE)
    page.get_by_role("link", name="New job").click()
    page.get_by_label("File with the dataset").set_input_files(file)
    start = page.get_by_role("button", name="Start the job")
    expect(start).to_be_enabled()
    for option in options:
        option(page)
    start.click()
    expect(page.get_by_role("grid")).to_be_visible(timeout=_TRAINED_MS)


def quick(page: Page) -> None:
    """Few epochs: enough for easy data."""
    page.get_by_role("button", name="Model and options").click()
    page.get_by_label("Epochs", exact=True).fill("6")


def verified_split(page: Page) -> None:
    """The split `test` is trusted."""
    page.get_by_label("Samples whose labels are known to be right").select_option("A verified split of the file")


def review(page: Page, server: str, number: int, right: Callable[[str], str], classes: list[str]) -> None:
    """Review the first samples with the keyboard, as somebody who sees the right label of each."""
    job = re.search(r"job_\w+", page.url)[0]  # type: ignore[index]  # the address of a job holds its id
    ranked = httpx.get(f"{server}/jobs/{job}/suspects", params={"limit": number}, trust_env=False, timeout=60).json()[
        "items"
    ]
    expect(page.get_by_role("grid")).to_have_attribute("aria-activedescendant", "suspect-0")
    decided = {}
    for place, suspect in enumerate(ranked):
        name, label = suspect["sample"]["id"], right(suspect["sample"]["id"])
        decided[name] = None if label == suspect["given_label"] else label
        page.keyboard.press("k" if decided[name] is None else str(classes.index(label) + 1))
        if place == 0:
            page.get_by_label("Your name").fill("Ada")
            page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("grid")).to_have_attribute("aria-activedescendant", f"suspect-{number}")

    def kept() -> dict[str, tuple[str | None, str | None]]:
        found = httpx.get(f"{server}/jobs/{job}/reviews", params={"limit": 1000}, trust_env=False, timeout=60).json()[
            "items"
        ]
        return {one["sample_id"]: (one["label"], one["reviewer"]) for one in found}

    wanted = {name: (label, "Ada") for name, label in decided.items()}
    assert eventually(kept, wanted) == wanted


def corrected(page: Page) -> Download:
    """The corrected file, as the browser saves it."""
    with page.expect_download() as saved:
        page.get_by_role("button", name="Corrected file").first.click()
    return saved.value


def spoilt(rows: list[dict[str, str]], classes: str = "abc") -> list[dict[str, str]]:
    """The rows of the training part with every ninth label wrong."""
    return [
        {**row, "label": classes[(classes.index(row["label"]) + 1) % len(classes)]}
        if number % _EVERY == 0 and row.get("split") != "test"
        else row
        for number, row in enumerate(rows)
    ]


def written(rows: list[dict[str, str]], delimiter: str = ",") -> str:
    """A CSV file of the rows."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def read(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """The rows of a CSV file."""
    return list(csv.DictReader(path.read_text().splitlines(), delimiter=delimiter))


def wrong(rows: list[dict[str, str]], true: list[dict[str, str]]) -> int:
    """How many rows have another label than the true ones."""
    assert len(rows) == len(true)
    return sum(row["label"] != right["label"] for row, right in zip(rows, true, strict=True))


def jobs_of(server: str) -> list[dict[str, Any]]:
    """The jobs, the oldest first."""
    found: list[dict[str, Any]] = httpx.get(f"{server}/jobs", trust_env=False, timeout=60).json()["items"]
    return found[::-1]


def test_a_table_comes_back_in_its_own_form_with_fewer_wrong_labels_and_trains_a_model_that_is_right_more_often(
    person: Page, server: str, tmp_path: Path
) -> None:
    true = [
        {**row, "split": "test" if number % 4 == 0 else "train"}
        for number, row in enumerate(csv.DictReader(table().decode().replace(",kind", ",label", 1).splitlines()))
    ]
    # Errors that mislead a model: most samples of one class carry the name of another. The split `test` stays right.
    generator = random.Random(0)
    given = [
        {**row, "label": "b"} if row["label"] == "a" and row["split"] == "train" and generator.random() < 0.6 else row
        for row in true
    ]
    (tmp_path / "kinds.csv").write_text(written(given, ";"))
    submit(person, tmp_path / "kinds.csv", quick, verified_split)
    labels = {row["name"]: row["label"] for row in true}
    review(person, server, 100, labels.__getitem__, list("abc"))
    download = corrected(person)
    fixed = tmp_path / "fixed.csv"
    download.save_as(fixed)
    assert download.suggested_filename.endswith(".csv")
    assert list(read(fixed, ";")[0]) == list(true[0])
    assert wrong(read(fixed, ";"), true) < wrong(given, true) / 2
    submit(person, fixed, quick, verified_split)
    first, second = jobs_of(server)
    assert first["dataset"]["id"] != second["dataset"]["id"]
    # Both were asked for the right labels of the same samples, of which neither was trained with one.
    before, after = (job["result"]["model"]["reference_accuracy"] for job in (first, second))
    assert after > before + 0.1
    person.get_by_role("link", name="Before and after").click()
    person.get_by_label("Compare with").select_option(first["id"])
    accuracy = person.locator("dl > div").filter(has_text="Accuracy on the reference")
    expect(accuracy).to_contain_text(f"{before:.1%} → {after:.1%}".replace("%", " %"))
    expect(accuracy).to_contain_text(f"+{(after - before) * 100:.1f} points")
    expect(accuracy).to_contain_text("Measured on the same samples with the same labels")


def test_a_folder_of_images_comes_back_in_the_right_folders(person: Page, server: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    shapes, images = ["disc", "box", "bar"], tmp_path / "shapes.zip"
    moved = 0
    with zipfile.ZipFile(images, "w") as archive:
        for number in range(180):
            shape = number % 3
            image = Image.fromarray(generator.integers(0, 60, (16, 16), dtype=np.uint8))
            draw, at = ImageDraw.Draw(image), int(generator.integers(1, 5))
            corners = [(at, at, at + 9, at + 9), (at, at, at + 9, at + 9), (at, 6, at + 10, 8)][shape]
            (draw.ellipse if shape == 0 else draw.rectangle)(corners, fill=int(generator.integers(170, 255)))
            folder = (shape + 1) % 3 if number % _EVERY == 0 else shape
            moved += folder != shape
            file = io.BytesIO()
            image.save(file, "PNG")
            archive.writestr(f"{shapes[folder]}/{shapes[shape]}-{number:03}.png", file.getvalue())
    submit(person, images)
    review(person, server, 2 * moved, lambda sample: Path(sample).name.split("-")[0], sorted(shapes))
    expect(person.get_by_role("button", name="Corrected file").first).to_contain_text("change")
    download = corrected(person)
    download.save_as(tmp_path / "fixed.zip")
    with zipfile.ZipFile(tmp_path / "fixed.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")]
    assert len(names) == 180
    wrong_now = sum(Path(name).parent.name not in Path(name).name for name in names)
    assert wrong_now < moved / 2


def test_texts_come_back_with_the_labels_that_people_chose(person: Page, server: str, tmp_path: Path) -> None:
    generator = random.Random(0)
    words = {
        "a": ["goal", "match", "team", "league", "coach", "score"],
        "b": ["bank", "market", "shares", "profit", "price", "trade"],
        "c": ["film", "actor", "stage", "music", "scene", "song"],
    }
    filler = ["the", "of", "a", "last", "new", "with", "after", "in", "at", "more"]
    true = []
    for number in range(360):
        kind = "abc"[number % 3]
        text = " ".join(generator.choice(words[kind] if place % 2 else filler) for place in range(12))
        true.append({"text": text, "label": kind})
    given = spoilt(true)
    (tmp_path / "news.csv").write_text(written(given))
    submit(person, tmp_path / "news.csv")
    review(person, server, 60, lambda sample: true[int(sample.removeprefix("row-"))]["label"], list("abc"))
    download = corrected(person)
    download.save_as(tmp_path / "fixed.csv")
    fixed = read(tmp_path / "fixed.csv")
    assert [row["text"] for row in fixed] == [row["text"] for row in true]
    assert wrong(fixed, true) < wrong(given, true) / 2
