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

from service.actions.delete import delete_ended_job
from service.domain.dataset import ClientWarning, DatasetInfo
from service.report.gather import gather
from service.services import Services
from service.store import datasets, job_events, jobs, rankings
from service.store.jobs import Job
from tests.builders import NOON, add_dataset, add_finished, add_job, finish, form, image_zip, kept_issues, ranking_of
from tests.pages import read
from tests.unit.api.reports import ROWS, URL, html, markdown, plant, rows_of

ODD = ["<script>alert(1)</script>", "a|b *c* _d_ [e](f) `g` $h$ ![i](https://j) & <k>", "\x07 猫 \\ ~~l~~\nm"]
# What shows and does nothing.
ELEMENTS = """html head meta title style body header main section a p h1 h2 h3 ul ol li dl dt dd b i small code span div img
figure figcaption table thead tbody tr th td details summary svg path text rect circle"""


@pytest.fixture(autouse=True)
def finished(services: Services, client: httpx.Client) -> None:
    """A completed job over a table."""
    add_finished(services.database, services.blobs, rows=54, splits={"train": ROWS, "test": 13})


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
        assert f"{wrong} of 1 reviewed {'was' if wrong else 'were'} wrong" in after.text
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
    for title in (
        "Groups that stand apart",
        "Other problems of the data",
        "Planted errors",
        "Signals",
        "More labels to check",
    ):
        assert title not in page.text
    assert len(rows_of(page)) == 3


@pytest.mark.parametrize("show", [html, markdown])
def test_what_was_found_beside_labels_is_told(client: httpx.Client, services: Services, show: Any) -> None:
    with services.database.write() as connection:
        rankings.save_summaries(connection, "job_1", {"issues": kept_issues()})
    page = show(client, URL)
    (found,) = [table for table in page.tables if table[0][0] == "Problem"]
    assert [[" ".join(cell.split()) for cell in row] for row in found[1:]] == [
        ["Samples that repeat", "6", "Copies.", "row-0, row-1, row-2, row-3, row-4"]
    ]


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

    def gather_late(given: Services, job: Job, info: DatasetInfo, verified: int) -> object:
        delete_ended_job(given, job.id)
        if is_missed:
            (given.blobs.job(job.id) / "ranking" / "header.json").read_bytes()
        return gather(given, job, info, verified)

    monkeypatch.setattr("service.api.report.gather", gather_late)
    answer = client.get(URL)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
