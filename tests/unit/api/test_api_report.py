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
import sqlalchemy as sa
from PIL import Image

from service.actions.delete import delete_ended_job
from service.domain.dataset import ClientWarning, DatasetInfo
from service.domain.signal import SIGNALS
from service.domain.specs import Loop
from service.report.gather import gather
from service.services import Services
from service.store import datasets, job_events, jobs, loops, rankings, tables
from service.store.jobs import Job
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
ELEMENTS = """html head meta title style body header main section a p h1 h2 h3 ul ol li dl dt dd b i small code span div img
figure figcaption table thead tbody tr th td details summary svg path text rect circle"""


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
        drawings = [attributes for tag, attributes in html(client).elements if tag == "svg"]
        return [one["aria-label"] for one in drawings if one.get("aria-hidden") != "true"]

    plain = drawn()
    assert len(plain) == 6
    plant(services, kinds=("duplicate",))
    assert len(drawn()) == 7
    plant(services)
    planted = drawn()
    assert [told for told in planted if told not in plain] == [
        "Average precision of the signals on planted errors",
        "Average precision of the signals on each kind of planted error",
    ]


def rows_of(page: Page) -> list[tuple[str, str]]:
    """The samples of a page and what is said of each, on one line."""
    tables = [table[1:] for table in page.tables if table[0][:2] == ["Rank", "Sample"]]
    listed = page.samples or [(row[1].strip(), " ".join(row)) for table in tables for row in table]
    return [(sample, " ".join(said.split())) for sample, said in listed]


@pytest.mark.parametrize("show", [html, markdown])
def test_its_numbers_are_those_of_the_api(client: httpx.Client, show: Any) -> None:
    page = show(client)
    items = client.get("/jobs/job_1/suspects", params={"limit": 50}).json()["items"]
    listed = rows_of(page)
    assert [sample for sample, _ in listed] == [item["sample"]["id"] for item in items]
    for (_, said), item in zip(listed, items, strict=True):
        fits = item["suggested_label"] == item["given_label"]
        assert str(item["rank"]) in said.split()
        assert item["given_label"] in said
        assert item["suggested_label"] in said
        assert f"{100 * item['suggested_confidence']:.0f} %" in said or (fits and show is html)
        assert str(item["sample"]["preview"]["colour"] or "missing") in said
        assert ("looks unlike its class" in said) == (item["verdict"] == "anomalous")
    signals = {one["name"]: one for one in client.get("/jobs/job_1/signals").json()["items"]}
    rows = page.table("Signal", "A high value means")
    assert [row["Signal"] for row in rows] == list(signals)
    for row in rows:
        assert row["A high value means"] == f"{SIGNALS[row['Signal']].title}: {SIGNALS[row['Signal']].high}"
        assert row["Median"] == f"{signals[row['Signal']]['quantiles']['0.5']:.4g}"
    result = client.get("/jobs/job_1").json()["result"]
    for warning in result["warnings"]:
        assert warning["detail"] in page.text
    assert f"About {result['estimates']['mislabeled']['count']} of {ROWS} labels look wrong" in page.text
    assert "Likely between 1 and 3." in page.text


@pytest.mark.parametrize("show", [html, markdown])
def test_a_report_asked_for_again_reads_no_rows_again_and_has_the_reviews_of_now(
    client: httpx.Client, services: Services, many: str, show: Any
) -> None:
    first = client.get("/jobs/job_many/suspects?verdict=mislabeled").json()["items"][0]["sample"]["id"]
    before = show(client, many)
    services.blobs.canonical("ds_many").unlink()
    assert show(client, many).text == before.text
    for decision, wrong in (("remove", 1), ("keep", 0)):
        said = [{"sample_id": first, "decision": decision}]
        client.post("/jobs/job_many/reviews", json=said).raise_for_status()
        after = show(client, many)
        assert f"{wrong} of 1 decided were wrong" in after.text
        assert [sample for sample, _ in rows_of(after)] == [sample for sample, _ in rows_of(before)]


@pytest.fixture
def many(services: Services) -> str:
    """A job in which both rankings are longer than what a report shows."""
    add_finished(services.database, services.blobs, "job_many", "ds_many", rows=320, splits={"train": 240, "test": 80})
    return "/jobs/job_many/report"


@pytest.mark.parametrize("show", [html, markdown])
def test_no_sample_is_shown_twice(client: httpx.Client, many: str, show: Any) -> None:
    shown = [sample for sample, _ in rows_of(show(client, many))]
    assert len(shown) == len(set(shown)) > 60
    unlike = client.get("/jobs/job_many/suspects?by=anomalous&verdict=anomalous&limit=50").json()["items"]
    assert unlike[0]["sample"]["id"] in shown


def test_the_summary_has_the_first_of_the_ranking_and_panels_the_rest(client: httpx.Client, many: str) -> None:
    text = client.get(many).text
    summary = read(text[: text.index('id="details"')])
    first = [item["sample"]["id"] for item in client.get("/jobs/job_many/suspects?limit=10").json()["items"]]
    assert [sample for sample, _ in summary.samples[:10]] == first
    assert len(summary.samples) <= 13
    assert {tag for tag, _ in summary.elements}.isdisjoint({"details"})
    details = [attributes for tag, attributes in read(text).elements if tag == "details"]
    assert details
    assert not [one for one in details if "open" in one]


@pytest.mark.parametrize("show", [html, markdown])
def test_labels_are_counted_as_the_ranking_has_them(client: httpx.Client, show: Any) -> None:
    items = client.get("/jobs/job_1/suspects?limit=1000").json()["items"]
    page = show(client)
    rows = page.table("Class", "Samples", "Labels that look wrong")
    assert {row["Class"] for row in rows} == {"cat", "dog", "eel"}
    for row in rows:
        mine = [item["verdict"] for item in items if item["given_label"] == row["Class"]]
        assert [int(row[name]) for name in ("Samples", "Labels that look wrong", "Unlike the class")] == [
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
def test_what_cannot_be_told_is_said_with_the_reason_and_the_cure(
    client: httpx.Client, services: Services, show: Any
) -> None:
    with services.database.write() as connection:
        stored = connection.execute(sa.select(tables.jobs.c.result)).scalar_one()
        unknown = {"count": 0, "low": 0, "high": ROWS, "status": "unknown", "reason": "The classes overlap."}
        warning = {
            "code": "no_trusted_reference",
            "title": "Nothing is verified",
            "detail": "x",
            "action": {"label": "Verify 50."},
        }
        changed = {
            **stored,
            "estimates": {**stored["estimates"], "mislabeled": unknown},
            "warnings": [warning],
        }
        connection.execute(tables.jobs.update().values(result=changed))
    text = " ".join(show(client).text.split())
    assert "Cannot tell how many labels are wrong" in text
    assert "The classes overlap." in text
    assert "What to do" in text
    assert "Verify 50." in text
    assert "Nothing is verified" in text
    assert "looks fine" not in text
    assert "not judged" in text


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
    assert {sample for sample, said in rows_of(page) if "planted: was " in said} == planted


def _ranked(services: Services) -> list[Any]:
    with services.database.read() as connection:
        columns = services.open_rankings.get(connection, services.blobs, "job_1").columns
        return list(rankings.top(connection, "job_1", columns, "mislabeled", 1000))


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
    given = " ".join(said for _, said in rows_of(page))
    assert [name for name in plain if name not in given] == []
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
    assert len(shown) == 12
    assert {(one["loading"], one["decoding"]) for one in shown} == {("lazy", "async")}
    first = client.get(f"/jobs/{job['id']}/suspects?limit=1").json()["items"][0]["sample"]
    media = Image.open(io.BytesIO(client.get(first["links"]["media"]).content)).convert("RGB")
    source = shown[0]["src"] or ""
    assert source.startswith("data:image/webp;base64,")
    small = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("RGB")
    assert (small.size, small.getpixel((3, 3))) == (media.size, media.getpixel((3, 3)))
    assert "size 8 x 8" in markdown(client, f"/jobs/{job['id']}/report").text


@pytest.mark.parametrize("show", [html, markdown])
def test_reviews_are_told_with_their_precision(client: httpx.Client, show: Any) -> None:
    assert f"{'n' if show is html else 'N'}obody has " in show(client).text
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
    assert (row["Decided"], row["Wrong"], row["Share wrong"]) == ("2", "1", "50.0 %")
    for bound in ("low", "high"):
        assert f"{100 * summary['precision'][bound]:.1f} %" in " ".join(row.values())
    said = dict(rows_of(page))
    assert "reviewed: wrong, relabelled as suggested" in said[wrong["sample"]["id"]]
    assert "reviewed: label was right" in said[right["sample"]["id"]]


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
    item = next(item for item in listed if item["sample"]["id"] == name)
    review, suggested = item["review"], item["suggested_label"]
    assert (review["decision"], review["label"]) == ("relabel", one["given_label"])
    decided = "as suggested" if one["given_label"] == suggested else f"to {one['given_label']}"
    said = dict(rows_of(show(client, "/jobs/job_2/report")))
    assert f"reviewed: wrong, relabelled {decided}" in said[name]


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
    for title in ("Groups that stand apart", "Planted errors", "Signals", "More labels to check"):
        assert title not in page.text
    assert len(rows_of(page)) == 3


def test_warnings_of_the_dataset_are_told_too(client: httpx.Client, services: Services) -> None:
    warning = ClientWarning(code="repeated_rows", detail="24 rows repeat `x`")
    info = add_dataset(services.database, "ds_2", services.blobs, warnings=[warning], skipped_rows=2)
    add_job(
        services.database, info, "job_2", reference={"split": "test"}, glitches=[{"kind": "duplicate", "rate": 0.25}]
    )
    finish(services.database, "job_2", info)
    page = html(client, "/jobs/job_2/report")
    assert "Some rows occur more than once. 24 rows repeat x" in " ".join(page.text.split())
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


@pytest.mark.parametrize("is_missed", [False, True])
def test_a_job_that_is_deleted_while_its_report_is_made_is_not_found(
    services: Services, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, is_missed: object
) -> None:
    """Whether its files are missed, or what the database has no more is taken for nothing."""

    def gather_late(given: Services, job: Job, info: DatasetInfo) -> object:
        delete_ended_job(given, job.id)
        if is_missed:
            (given.blobs.job(job.id) / "ranking" / "header.json").read_bytes()
        return gather(given, job, info)

    monkeypatch.setattr("service.api.report.gather", gather_late)
    answer = client.get(URL)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
