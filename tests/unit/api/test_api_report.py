"""The report over HTTP: what it says, in which forms, and what it never does."""

import base64
import hashlib
import io
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from service.domain.dataset import ClientWarning
from service.domain.signal import SIGNALS
from service.domain.specs import Loop
from service.services import Services
from service.store import datasets, job_events, jobs, loops, rankings
from tests.builders import (
    COMPUTED,
    NOON,
    add_dataset,
    add_finished,
    add_job,
    finish,
    form,
    image_zip,
    ranking_of,
    summaries,
)
from tests.pages import Page, read, read_markdown

ROWS = 41
URL = "/jobs/job_1/report"
ODD = ["<script>alert(1)</script>", "a|b *c* _d_ [e](f) `g` $h$ ![i](https://j) & <k>", "\x07 猫 \\ ~~l~~\nm"]
# What shows and does nothing.
ELEMENTS = """html head meta title style body header main nav section a p h1 h2 ul li dl dt dd b i code span div img figure
figcaption table thead tbody tr th td details summary svg path text rect circle"""


@pytest.fixture(autouse=True)
def finished(services: Services, client: httpx.Client) -> None:
    """A completed job over a table."""
    add_finished(services.database, services.blobs, rows=54, splits={"train": ROWS, "test": 13})


def html(client: httpx.Client, url: str = URL) -> Page:
    response = client.get(url)
    assert response.status_code == 200, response.text
    return read(response.text)


def markdown(client: httpx.Client, url: str = URL) -> Page:
    response = client.get(url, params={"format": "md"})
    assert response.status_code == 200, response.text
    return read_markdown(response.text)


def plant(services: Services, job_id: str = "job_1", kinds: tuple[str, ...] = ("duplicate", "mislabeled_pair")) -> None:
    """Let a worker say how well each signal found what was planted."""
    told = summaries(COMPUTED, ROWS)
    for place, name in enumerate(COMPUTED):
        found = {
            kind: {
                "planted": 3 + number,
                "precision": 0.25,
                "recall": 0.5,
                "f1": 1 / 3,
                "authors_f1": 0.3,
                "average_precision": round(0.9 - place / 50 - number / 10, 4),
                "auroc": 0.875,
            }
            for number, kind in enumerate(("all", *kinds))
        }
        told[name] |= {"detection": found.pop("all"), "detection_by_kind": found}
    with services.database.write() as connection:
        rankings.save_summaries(connection, job_id, told)


def test_it_comes_with_the_job_and_not_before(client: httpx.Client, services: Services) -> None:
    add_job(services.database, add_dataset(services.database, "ds_2"), "job_2")
    waiting = client.get("/jobs/job_2/report")
    assert (waiting.status_code, waiting.json()["state"]) == (409, "queued")
    assert int(waiting.headers["Retry-After"]) > 0
    links = {job["id"]: job["links"]["report"] for job in client.get("/jobs").json()["items"]}
    assert links == {"job_1": URL, "job_2": None}
    client.post("/jobs/job_2/cancel")
    assert client.get("/jobs/job_2/report").status_code == 410
    assert client.get("/jobs/job_3/report").status_code == 404


@pytest.mark.parametrize(
    ("asked", "accept", "kind"),
    [
        ("", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "html"),
        ("", "*/*", "html"),
        ("", "text/markdown", "markdown"),
        ("", "text/html;q=0.5, text/markdown", "markdown"),
        ("?format=md", "text/html", "markdown"),
        ("?format=html", "text/markdown", "html"),
    ],
)
def test_its_form_is_the_one_asked_for(client: httpx.Client, asked: str, accept: str, kind: str) -> None:
    response = client.get(URL + asked, headers={"Accept": accept})
    assert response.headers["Content-Type"] == f"text/{kind}; charset=utf-8"
    ending = {"html": "html", "markdown": "md"}[kind]
    assert response.headers["Content-Disposition"] == f'inline; filename="job_1-report.{ending}"'
    assert response.text.startswith({"html": "<!doctype html>", "markdown": "# animals\n"}[kind])


def test_a_form_that_is_not_made_is_refused_with_the_list(client: httpx.Client) -> None:
    refused = client.get(URL, headers={"Accept": "application/pdf"})
    assert (refused.status_code, "text/markdown" in refused.json()["detail"]) == (406, True)
    unknown = client.get(URL, params={"format": "pdf"})
    assert (unknown.status_code, unknown.json()["errors"][0]["loc"]) == (422, ["query", "format"])


def test_the_page_is_one_file_and_its_policy_allows_only_its_own_style(
    client: httpx.Client, services: Services
) -> None:
    plant(services)
    response = client.get(URL)
    page = read(response.text)
    assert {tag for tag, _ in page.elements} <= set(ELEMENTS.split())
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")], attributes
        assert (attributes.get("src") or "data:image/").startswith("data:image/"), tag
        assert (attributes.get("href") or attributes.get("xlink:href") or "#").startswith("#"), tag
    assert not re.findall(r"https?://|@import|url\((?!#)", response.text)
    ids = [name for _, attributes in page.elements if (name := attributes.get("id"))]
    used = {name for found in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', response.text) for name in found if name}
    assert len(ids) == len(set(ids))
    assert used <= set(ids)
    policy = response.headers["Content-Security-Policy"]
    own = base64.b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{own}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'; sandbox"
    )
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    inside = next(a["content"] for tag, a in page.elements if tag == "meta" and "http-equiv" in a)
    assert inside is not None
    assert policy.startswith(inside)


def test_a_page_has_a_figure_of_everything_it_can_draw(client: httpx.Client, services: Services) -> None:
    def drawn() -> list[str | None]:
        return [attributes["aria-label"] for tag, attributes in html(client).elements if tag == "svg"]

    plain = drawn()
    assert len(plain) == 6
    plant(services, kinds=("duplicate",))
    assert len(drawn()) == 7
    plant(services)
    planted = drawn()
    assert [told for told in planted if told not in plain] == [
        "Average precision of the signals on planted glitches",
        "Average precision of the signals on each kind of planted glitch",
    ]


@pytest.mark.parametrize("show", [html, markdown])
def test_its_numbers_are_those_of_the_api(client: httpx.Client, show: Any) -> None:
    page = show(client)
    for by, place in (("mislabeled", 0), ("anomalous", 1)):
        items = client.get("/jobs/job_1/suspects", params={"by": by, "limit": 50}).json()["items"]
        table = [table for table in page.tables if table[0][:2] == ["Rank", "Sample"]][place]
        assert len(table) == len(items) + 1
        for row, item in zip(table[1:], items, strict=True):
            said = dict(zip(table[0], (" ".join(cell.split()) for cell in row), strict=True))
            assert (said["Rank"], said["Score"]) == (str(item["rank"]), f"{item['score']:.3f}")
            assert said["Sample"].split()[-1] == item["sample"]["id"]
            assert said["Given label"] == item["given_label"]
            same = item["suggested_label"] == item["given_label"] and show is html
            sure = f"{100 * item['suggested_confidence']:.0f} %"
            suggested = (
                f"{said['Suggested label']} {said['Confidence']}" if "Confidence" in said else said["Suggested label"]
            )
            assert suggested == f"{'the same' if same else item['suggested_label']} {sure}"
            assert said["Verdict"].split()[0] == item["verdict"]
            assert str(item["sample"]["preview"]["colour"] or "missing") in " ".join(row)
    signals = {one["name"]: one for one in client.get("/jobs/job_1/signals").json()["items"]}
    rows = page.table("Signal", "A high value means")
    assert [row["Signal"] for row in rows] == list(signals)
    for row in rows:
        assert row["A high value means"] == f"{SIGNALS[row['Signal']].title}: {SIGNALS[row['Signal']].high}"
        assert row["Median"] == f"{signals[row['Signal']]['quantiles']['0.5']:.4g}"
    result = client.get("/jobs/job_1").json()["result"]
    for warning in result["warnings"]:
        assert warning["detail"] in page.text
    assert f"{result['estimates']['mislabeled']['count']} of {ROWS} labels look wrong (between 1 and 3)" in page.text


@pytest.mark.parametrize("show", [html, markdown])
def test_labels_are_counted_as_the_ranking_has_them(client: httpx.Client, show: Any) -> None:
    items = client.get("/jobs/job_1/suspects?limit=1000").json()["items"]
    page = show(client)
    rows = page.table("Label", "Samples", "Mislabeled")
    assert {row["Label"] for row in rows} == {"cat", "dog", "eel"}
    for row in rows:
        mine = [item["verdict"] for item in items if item["given_label"] == row["Label"]]
        assert [int(row[name]) for name in ("Samples", "Mislabeled", "Anomalous")] == [
            len(mine),
            mine.count("mislabeled"),
            mine.count("anomalous"),
        ]
        flagged = 1 - mine.count("clean") / len(mine)
        assert row["Share flagged"] == f"{100 * flagged:.1f} %"
    for row in page.table("Given label", "Suggested label", "Samples"):
        pair = (row["Given label"], row["Suggested label"])
        assert int(row["Samples"]) == sum(
            (item["given_label"], item["suggested_label"], item["verdict"]) == (*pair, "mislabeled") for item in items
        )


@pytest.mark.parametrize("show", [html, markdown])
def test_what_was_planted_and_found_is_told_by_kind(client: httpx.Client, services: Services, show: Any) -> None:
    plant(services)
    page = show(client)
    tables = [table for table in page.tables if table[0][:2] == ["Signal", "What it is"]]
    signals = client.get("/jobs/job_1/signals").json()["items"]
    for table, kind in zip(tables, ("all", "duplicate", "mislabeled_pair"), strict=True):
        found = {one["name"]: one["detection"] if kind == "all" else one["detection_by_kind"][kind] for one in signals}
        best = sorted(found, key=lambda name: -found[name]["average_precision"])
        measures = ("precision", "recall", "f1", "average_precision", "auroc")
        expected = [[name, SIGNALS[name].title, *(f"{found[name][one]:.3f}" for one in measures)] for name in best]
        assert [[cell.strip() for cell in row] for row in table[1:]] == expected
    assert "mislabeled pair: 5 samples" in page.text
    planted = {row["sample_id"] for row in _ranked(services) if row["planted_kind"]}
    rows = next(table for table in page.tables if table[0][:2] == ["Rank", "Sample"])[1:]
    assert {row[1].split()[-1] for row in rows if "was " in " ".join(row[2:])} == planted


def _ranked(services: Services) -> list[Any]:
    with services.database.read() as connection:
        return list(rankings.page(connection, "job_1", rankings.Query(), limit=1000))


@pytest.mark.parametrize("show", [html, markdown])
def test_what_clients_wrote_is_shown_and_never_obeyed(client: httpx.Client, services: Services, show: Any) -> None:
    counts = dict.fromkeys(ODD, 18)
    options = {"rows": 54, "splits": {"train": ROWS, "test": 13}, "classes": ODD, "class_counts": counts}
    info = add_dataset(services.database, "ds_2", services.blobs, name=ODD[0], **options)
    add_job(services.database, info, "job_2", name=ODD[1])
    finish(services.database, "job_2", info, blobs=services.blobs, ids={i: f"{ODD[i % 3]} {i}" for i in range(ROWS)})
    items = client.get("/jobs/job_2/suspects?limit=50").json()["items"]
    decisions = [{"sample_id": item["sample"]["id"], "decision": "relabel", "label": ODD[1]} for item in items[:9]]
    assert client.post("/jobs/job_2/reviews", json=decisions).status_code == httpx.codes.CREATED
    page = show(client, "/jobs/job_2/report")
    elements = [(tag, attributes) for tag, attributes in page.elements if tag not in ("meta", "svg")]
    assert not [
        tag for tag, _ in elements if tag in ("script", "k", "em", "del") or (tag == "img" and show is markdown)
    ]
    assert not [tag for tag, attributes in elements if tag == "a" and not (attributes["href"] or "").startswith("#")]
    plain = [" ".join(name.split()) for name in ODD]
    rows = next(table for table in page.tables if table[0][:2] == ["Rank", "Sample"])[1:]
    assert {" ".join(cell.split()) for row in rows for cell in row} >= set(plain)
    assert plain[1] in " ".join(page.text.split())
    if show is html:
        assert "&lt;script&gt;alert(1)&lt;/scrip…</text>" in client.get("/jobs/job_2/report").text


def test_images_are_shown_small_in_place(client: httpx.Client, services: Services) -> None:
    names = [f"{'ab'[i % 2]}/{i}.png" for i in range(12)]
    dataset = client.post("/datasets", **form(image_zip(names), "images.zip")).json()["id"]
    job = client.post("/jobs", json={"dataset": dataset}).json()
    with services.database.read() as connection:
        stored = jobs.get(connection, job["id"])
    assert stored is not None
    info = add_dataset(services.database, "ds_x").model_copy(
        update={"id": dataset, "classes": ["a", "b", "c"], "splits": {"train": 12}, "rows": 12}
    )
    finish(services.database, job["id"], info, ids=dict(enumerate(sorted(names))))
    page = html(client, f"/jobs/{job['id']}/report")
    shown = [attributes for tag, attributes in page.elements if tag == "img"]
    assert len(shown) >= 24
    first = client.get(f"/jobs/{job['id']}/suspects?limit=1").json()["items"][0]["sample"]
    media = Image.open(io.BytesIO(client.get(first["links"]["media"]).content)).convert("RGB")
    source = shown[0]["src"] or ""
    assert source.startswith("data:image/webp;base64,")
    small = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")
    assert (small.size, small.getpixel((3, 3))) == (media.size, media.getpixel((3, 3)))
    assert "size 8 x 8" in markdown(client, f"/jobs/{job['id']}/report").text


@pytest.mark.parametrize("show", [html, markdown])
def test_reviews_are_told_with_their_precision(client: httpx.Client, show: Any) -> None:
    assert "Nobody has reviewed a sample yet." in show(client).text
    flagged = [
        item for item in client.get("/jobs/job_1/suspects?limit=50").json()["items"] if item["verdict"] == "mislabeled"
    ]
    wrong, right = flagged[0], flagged[1]
    decisions = [
        {"sample_id": wrong["sample"]["id"], "decision": "relabel", "label": wrong["suggested_label"]},
        {"sample_id": right["sample"]["id"], "decision": "keep"},
    ]
    client.post("/jobs/job_1/reviews", json=decisions)
    summary = client.get("/jobs/job_1/reviews/summary").json()
    page = show(client)
    row = page.table("Of", "Decided", "Wrong")[0]
    assert (row["Decided"], row["Wrong"], row["Precision"]) == ("2", "1", "50.0 %")
    for bound in ("low", "high"):
        assert f"{100 * summary['precision'][bound]:.1f} %" in " ".join(row.values())
    assert f"relabel to {wrong['suggested_label']}: wrong, as suggested" in page.text
    assert "keep: was right" in page.text


@pytest.mark.parametrize("show", [html, markdown])
def test_a_review_of_another_job_of_the_chain_is_told_in_the_words_of_this_one(
    client: httpx.Client, services: Services, show: Any
) -> None:
    # Relabelled, run again over that, and then kept after all: in the second job that is a relabelling back.
    one = next(item for item in client.get("/jobs/job_1/suspects?limit=50").json()["items"] if not item["planted"])
    name, other = one["sample"]["id"], next(label for label in ("cat", "dog", "eel") if label != one["given_label"])
    say = {"sample_id": name, "decision": "relabel", "label": other}
    client.post("/jobs/job_1/reviews", json=[say])
    version = client.post("/datasets/ds_1/versions", json={"job": "job_1", "apply": "reviews"}).json()
    with services.database.read() as connection:
        info = datasets.get(connection, version["id"])
    assert info is not None
    add_job(services.database, info, "job_2")
    finish(services.database, "job_2", info, table=ranking_of(services.blobs, info))
    with services.database.write() as connection:
        loops.add(connection, "job_1", Loop(after=1))
        loops.set_next_job(connection, "job_1", "job_2")
    client.post("/jobs/job_1/reviews", json=[{"sample_id": name, "decision": "keep"}])
    listed = client.get("/jobs/job_2/suspects?limit=50").json()["items"]
    review = next(item["review"] for item in listed if item["sample"]["id"] == name)
    assert (review["decision"], review["label"]) == ("relabel", one["given_label"])
    assert f"relabel to {one['given_label']}: " in show(client, "/jobs/job_2/report").text


def test_a_feature_may_be_called_as_what_we_say_of_it(client: httpx.Client, services: Services) -> None:
    vectors = pa.table({"dimensions": [[float(row), 0.5, 1.0] for row in range(54)], "label": ["cat", "dog"] * 27})
    file = io.BytesIO()
    pq.write_table(vectors, file)
    body = form(file.getvalue(), "vectors.parquet", {"modality": "embedding", "label": "label"})
    uploaded = client.post("/datasets", **body).json()
    with services.database.read() as connection:
        info = datasets.get(connection, uploaded["id"])
    assert info is not None
    add_job(services.database, info, "job_2")
    finish(services.database, "job_2", info, table=ranking_of(services.blobs, info))
    assert "0.5, 1, …" in markdown(client, "/jobs/job_2/report").text


def test_the_same_job_gives_the_same_bytes_from_any_thread(client: httpx.Client, services: Services) -> None:
    plant(services)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.get(URL).content, range(4)))
    assert len(set(answers)) == 1
    assert len(answers[0]) < 2_000_000


@pytest.mark.parametrize("show", [html, markdown])
def test_a_job_that_knows_little_has_a_short_report(client: httpx.Client, services: Services, show: Any) -> None:
    info = add_dataset(services.database, "ds_2", services.blobs, rows=4, splits={"train": 3, "test": 1})
    add_job(services.database, info, "job_2", signals=["si"])
    finish(services.database, "job_2", info, signals=["mislabeled", "anomalous"])
    with services.database.write() as connection:
        rankings.save_summaries(connection, "job_2", {})
    page = show(client, "/jobs/job_2/report")
    assert "Groups within a label" not in page.text
    assert "Detection of planted glitches" not in page.text
    assert len(page.table("Rank", "Sample")) == 3


def test_warnings_of_the_dataset_are_told_too(client: httpx.Client, services: Services) -> None:
    warning = ClientWarning(code="repeated_rows", detail="24 rows repeat `x`")
    info = add_dataset(services.database, "ds_2", services.blobs, warnings=[warning], skipped_rows=2)
    add_job(
        services.database, info, "job_2", reference={"split": "test"}, glitches=[{"kind": "duplicate", "rate": 0.25}]
    )
    finish(services.database, "job_2", info)
    page = html(client, "/jobs/job_2/report")
    assert "repeated_rows of the dataset: 24 rows repeat x" in page.text
    assert "2 rows of the upload could not be used" in page.text
    assert "The split test, 3 samples, verified by people." in page.text
    assert "duplicate (25\N{NO-BREAK SPACE}%)" in page.text


def test_the_course_of_training_is_told_epoch_by_epoch(client: httpx.Client, services: Services) -> None:
    with services.database.write() as connection:
        for epoch, loss in ((2, 0.5), (2, 0.25)):
            job_events.record(connection, "job_1", "metrics", {"epoch": epoch, "loss": loss, "accuracy": 0.75}, NOON)
    rows = markdown(client).table("Epoch", "Loss", "Accuracy")
    assert rows == [
        {"Epoch": "1", "Loss": "1", "Accuracy": "50.0 %"},
        {"Epoch": "2", "Loss": "0.25", "Accuracy": "75.0 %"},
    ]
