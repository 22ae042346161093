"""A ranking as a whole: each answer leads to the samples behind it, by mouse and by keyboard."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Browser, Page, expect

from service.domain.dataset import DatasetInfo
from service.ingest.votes import VoteFile, table_of
from service.services import Services
from service.store import ranking_columns, rankings
from tests.browser import axe
from tests.browser.conftest import PAGE
from tests.builders import COMPUTED, add_dataset, add_job, finish, kept_issues, ranking, summaries

ROWS = 300
JOB = f"{PAGE}#/jobs/job_1"
QUESTIONS = ["confusion", "cut-off", "map", "classes", "issues", "annotators", "signals", "planted"]


def seen(services: Services) -> list[dict[str, Any]]:
    """Rows of the ranking, as the worker wrote them."""
    with services.database.read() as connection:
        columns = services.open_rankings.get(connection, services.blobs, "job_1").columns
        return [dict(row) for row in rankings.top(connection, "job_1", columns, "mislabeled", ROWS)]


@pytest.fixture(autouse=True)
def job(services: Services) -> DatasetInfo:
    """A ranked job with planted errors; its samples lie on a grid, 20 a row, from -1 to 1."""
    info = add_dataset(services.database, blobs=services.blobs, rows=ROWS + 100, splits={"train": ROWS, "test": 100})
    add_job(services.database, info, glitches=[{"kind": "mislabeled_uniform", "rate": 0.2, "seed": 0}])
    table = ranking(info)
    # One score a sample: every cut-off is one.
    scores = pa.array(np.random.default_rng(0).permutation(ROWS) / ROWS)
    table = table.set_column(table.schema.get_field_index("mislabeled"), "mislabeled", scores)
    finish(services.database, "job_1", info, blobs=services.blobs, table=table)
    known = summaries(COMPUTED, ROWS)
    hits = {"planted": 60, "precision": 0.5, "recall": 0.5, "f1": 0.5, "average_precision": 0.5, "auroc": 0.5}
    for name in COMPUTED:
        known[name] |= {"detection": hits, "detection_by_kind": {"mislabeled_uniform": hits}}
    known["mislabeled"]["histogram"] = {"edges": [place / 10 for place in range(11)], "counts": [30] * 10}
    known["issues"] = kept_issues()
    known["ranking"] = {"by_kind": {"all": COMPUTED, "mislabeled_uniform": COMPUTED}}
    with services.database.write() as connection:
        rankings.save_summaries(connection, "job_1", known)
    grid = np.stack([np.arange(ROWS) % 20 / 9.5 - 1, np.arange(ROWS) // 20 / 7 - 1], 1).astype(np.float32)
    columns = {"map-pca": grid, "wrong": np.linspace(0, 1, ROWS, dtype=np.float32)}
    ranking_columns.save(services.blobs.ranking("job_1"), table, COMPUTED, columns)
    return info


def test_a_cell_of_the_heatmap_filters(page: Page, services: Services) -> None:
    page.goto(f"{JOB}/understand")
    rows = seen(services)
    expected = sum((row["given_label"], row["suggested_label"]) == ("cat", "dog") for row in rows)
    cell = page.get_by_role("table").get_by_role("link", name=f"cat, suggested dog: {expected} samples")
    cell.click()
    expect(page).to_have_url(f"{page.url.split('#')[0]}#/jobs/job_1/suspects?label=cat&suggested=dog")
    page.go_back()
    expect(cell).to_be_visible()


def test_arrow_keys_go_from_cell_to_cell(page: Page) -> None:
    page.goto(f"{JOB}/understand")
    table = page.locator("[data-heatmap]")
    expect(table.locator("a[tabindex='0']")).to_have_count(1)
    table.locator("a[tabindex='0']").focus()
    names = set()
    for key in ("ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight") * 2:
        page.keyboard.press(key)
        names.add(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert len(names) > 1
    assert all("suggested" in name for name in names)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"#/jobs/job_1/suspects\?label=\w+&suggested=\w+$"))


def test_a_cut_off_says_what_it_flags_and_shows_it(page: Page) -> None:
    page.goto(f"{JOB}/understand?ask=cut-off")
    line = page.get_by_role("slider", name="Cut-off")
    before = int(line.get_attribute("aria-valuenow") or 0)
    line.press("ArrowLeft")
    expect(line).to_have_attribute("aria-valuenow", str(before + 1))
    histogram = page.locator("[data-histogram]")
    box = histogram.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60, steps=5)
    page.mouse.up()
    flagged = int(line.get_attribute("aria-valuenow") or 0)
    assert ROWS / 3 < flagged < ROWS * 2 / 3
    expect(page.locator("[data-flagged]")).to_have_text(str(flagged))
    expect(page.locator("[data-expected]")).to_contain_text("%")
    page.reload()
    expect(line).to_have_attribute("aria-valuenow", str(flagged))
    with page.expect_response(lambda answer: "/suspects?" in answer.url and "min_score" in answer.url) as answered:
        page.get_by_role("link", name=f"Show these {flagged}").click()
    assert answered.value.json()["total"] == flagged


def on_screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the map is drawn."""
    canvas = page.locator("canvas")
    expect(canvas).to_have_attribute("data-map", re.compile("scale"))
    view = json.loads(canvas.get_attribute("data-map") or "{}")
    box = canvas.bounding_box()
    assert box is not None
    return box["x"] + x * view["scale"] + view["left"], box["y"] + view["top"] - y * view["scale"]


def test_a_line_around_samples_selects_them(page: Page, job: DatasetInfo) -> None:
    page.goto(f"{JOB}/understand?ask=map")
    # Around the 3 columns and 4 rows at the lower left.
    corners = [(-1.05, -1.05), (-0.74, -1.05), (-0.74, -0.5), (-1.05, -0.5)]
    page.mouse.move(*on_screen(page, *corners[0]))
    page.mouse.down()
    for corner in [*corners[1:], corners[0]]:
        page.mouse.move(*on_screen(page, *corner), steps=8)
    page.mouse.up()
    expect(page.get_by_text("12 samples inside")).to_be_visible()
    with page.expect_response(lambda answer: "/suspects?" in answer.url and "region=" in answer.url) as answered:
        page.get_by_role("link", name="Show 12").click()
    ids = {item["sample"]["id"] for item in answered.value.json()["items"]}
    assert ids == {f"row-{row * 20 + column}" for row in range(4) for column in range(3)}
    page.go_back()
    expect(page.get_by_text("12 samples inside")).to_be_visible()


def test_the_map_works_by_keys(page: Page) -> None:
    page.goto(f"{JOB}/understand?ask=map")
    canvas = page.get_by_role("application")
    canvas.focus()
    for key in ("+", "+", "+", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(page.get_by_text("samples inside")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_text("Draw around samples to see them")).to_be_visible()


def test_a_point_of_the_map_shows_its_sample(page: Page) -> None:
    page.goto(f"{JOB}/understand?ask=map")
    page.mouse.move(*on_screen(page, -1, -1))
    expect(page.get_by_text("row-0", exact=True)).to_be_visible()
    expect(page.get_by_text("weight")).to_be_visible()


def test_a_signal_is_ranked_by_and_a_class_is_filtered(page: Page) -> None:
    page.goto(f"{JOB}/understand?ask=signals")
    page.get_by_role("link", name="Rank by this: Self-influence", exact=True).click()
    expect(page).to_have_url(f"{page.url.split('#')[0]}#/jobs/job_1/suspects?by=si")
    page.goto(f"{JOB}/understand?ask=classes")
    page.get_by_role("row", name=re.compile("^dog")).get_by_role("link", name="mislabeled").click()
    expect(page).to_have_url(f"{page.url.split('#')[0]}#/jobs/job_1/suspects?label=dog&verdict=mislabeled")


def test_a_job_with_planted_errors_says_so_on_each_of_its_parts(page: Page) -> None:
    for part in ("suspects", "audit", "understand"):
        page.goto(f"{JOB}/{part}")
        expect(page.get_by_role("list", name="Facts")).to_contain_text("a trial with planted errors")


def test_each_other_problem_leads_to_its_samples(page: Page) -> None:
    page.goto(f"{JOB}/understand?ask=issues")
    copies = page.get_by_role("article").filter(has=page.get_by_role("heading", name="Samples that repeat 6 samples"))
    expect(copies.get_by_role("listitem")).to_have_count(3)
    expect(copies.get_by_role("listitem").first).to_have_text(re.compile(r"row-0\s+cat\s*row-1\s+cat"))
    expect(page.get_by_role("region", name="Looked for and not found").get_by_role("listitem")).to_have_count(6)
    expect(page.get_by_role("region", name="Not looked for")).to_contain_text("This job holds no sample out.")
    copies.get_by_role("link", name="row-4", exact=True).click()
    expect(page).to_have_url(f"{page.url.split('#')[0]}#/jobs/job_1/suspects?sample=row-4")


def test_it_says_how_to_tell_who_labelled_where_nobody_is_known(page: Page) -> None:
    page.goto(f"{JOB}/understand?ask=annotators")
    expect(page.get_by_role("heading", name="Nobody is known who labelled")).to_be_visible()


def test_people_who_labelled_are_compared(page: Page, services: Services) -> None:
    given = [(row["index"], row["given_label"], row["verdict"]) for row in seen(services)]
    votes = [(index, "Zoë" if verdict == "mislabeled" else "Ann", label) for index, label, verdict in given]
    with VoteFile(services.blobs.votes("ds_1")) as file:
        file.add(table_of(sorted(votes)))
    page.goto(f"{JOB}/understand?ask=annotators")
    wrong = sum(who == "Zoë" for _, who, _ in votes)
    rows = page.get_by_role("row")
    expect(rows.nth(1)).to_contain_text(re.compile(rf"Zoë\s+more than chance\s*{wrong}\s*{wrong}"))
    expect(rows.nth(2)).to_contain_text(re.compile(rf"Ann\s*{ROWS - wrong}\s*0"))


@pytest.mark.parametrize("ask", QUESTIONS)
def test_a_phone_scrolls_no_question_sideways(page: Page, ask: str) -> None:
    page.set_viewport_size({"width": 360, "height": 780})
    page.goto(f"{JOB}/understand?ask={ask}")
    expect(page.get_by_role("heading", level=2).first).to_be_visible()
    expect(page.locator("[aria-busy]")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.fixture
def tested(browser: Browser, server: str) -> Iterator[Page]:
    """A page into which axe-core can be put."""
    context = browser.new_context(base_url=server, viewport={"width": 1440, "height": 900}, bypass_csp=True)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("ask", QUESTIONS)
def test_no_question_has_a_barrier(tested: Page, ask: str, theme: Any, axe_script: str) -> None:
    tested.emulate_media(color_scheme=theme)
    tested.goto(f"{JOB}/understand?ask={ask}")
    expect(tested.locator("[aria-busy]")).to_have_count(0)
    expect(tested.get_by_role("heading", level=2).first).to_be_visible()
    assert axe.violations(tested, axe_script) == []
