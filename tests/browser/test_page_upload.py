"""What was read of a file is shown before a job starts, and what is wrong of it is corrected on the page."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.browser import axe
from tests.browser.conftest import PAGE, Watched

ROWS = 40
FIELD = "File with the dataset"
FILE = "".join(
    ["visit,ward,age,joined,outcome\n"]
    + [f"{row},w{row // 2},{20 + row},0{1 + row % 9}/02/2023,{'well' if row % 2 else 'Well '}\n" for row in range(ROWS)]
)
COLUMNS = [
    ("visit", "id", None, "different in every row", 0, 0, ["0", "1"]),
    (
        "ward",
        "left_out",
        "categorical",
        "it says which rows belong together; name it as spec.group, so that they do not vouch; 20 different texts",
        0,
        0,
        ["w0", "w1"],
    ),
    ("age", "input", "numeric", "numbers in 38 of 40 rows", 1, 2, ["20", "<b>21</b>"]),
    ("joined", "input", "datetime", "dates, the day first", 0, 0, ["01/02/2023", "02/02/2023"]),
    ("outcome", "label", "categorical", "its name is that of a label", 0, 0, ["well", "Well "]),
]
SIMILAR = 'classes that may be one were kept apart. Where they are one, upload again with spec {"merge_labels": {}}'


def described(**changes: Any) -> dict[str, Any]:
    """The answer to an upload, as made up here."""
    names = ("name", "role", "kind", "why", "missing", "unreadable", "examples")
    return {
        "id": "ds_1", "name": "visits.csv", "modality": "tabular", "rows": ROWS, "classes": ["Well", "well"],
        "class_counts": {"well": 25, "Well": 15}, "features": [], "splits": {"train": ROWS}, "digest": "sha256:0",
        "skipped_rows": 2, "inferred": {"label": "outcome", "format": "csv, delimiter comma, encoding utf-8", "group_candidates": ["ward"]},
        "warnings": [{"code": "similar_labels", "detail": SIMILAR}], "created_at": "2026-01-01T00:00:00Z",
        "columns": [dict(zip(names, column, strict=True)) for column in COLUMNS],
        **changes,
    }  # fmt: skip


def spec_of(request: Request) -> dict[str, Any]:
    """The description in an upload."""
    found = re.search(r'name="spec"\r\n\r\n(.*?)\r\n--', request.post_data_buffer.decode(), re.DOTALL)  # type: ignore[union-attr]  # an upload has a body
    assert found is not None
    spec: dict[str, Any] = json.loads(found[1])
    return spec


@pytest.fixture(autouse=True)
def no_estimate(page: Page) -> None:
    """Made-up datasets are not known to the service, which therefore cannot estimate jobs over them."""
    spec = {"model": {"name": "mlp", "params": {}}, "fallback": None}
    page.route("**/jobs/estimate", lambda route: route.fulfill(json={"seconds": None, "spec": spec}))


@pytest.fixture
def told(page: Page) -> list[dict[str, Any]]:
    """The descriptions that were sent, each answered as if the file had been read."""
    sent: list[dict[str, Any]] = []

    def answer(route: Route) -> None:
        sent.append(spec_of(route.request))
        route.fulfill(status=201, json=described())

    page.route("**/datasets", answer)
    return sent


@pytest.fixture
def chosen(page: Page, tmp_path: Path) -> Callable[[], None]:
    """Opens the page and chooses the file."""
    (tmp_path / "visits.csv").write_text(FILE)

    def choose() -> None:
        page.goto(f"{PAGE}#/new")
        page.get_by_label(FIELD).set_input_files(tmp_path / "visits.csv")

    return choose


def test_what_was_read_is_shown_as_soon_as_a_file_is_chosen(
    page: Page, chosen: Callable[[], None], told: list[dict[str, Any]]
) -> None:
    chosen()
    panel = page.get_by_role("main")
    expect(panel.locator(".facts")).to_contain_text("40 rows in 2 classes")
    expect(panel.locator(".facts")).to_contain_text("Read as csv, delimiter comma, encoding utf-8. 2 rows left out.")
    expect(panel.get_by_role("region", name="Classes").get_by_role("listitem")).to_have_text(
        [re.compile(r"^well\s+25$"), re.compile(r"^Well\s+15$")]
    )
    rows = panel.locator("tbody tr")
    expect(rows.locator("th")).to_have_text([column[0] for column in COLUMNS])
    expect(rows.nth(2).locator("td").nth(2)).to_have_text("1 missing, 2 not readable")
    expect(rows.nth(2).locator(".examples code")).to_have_text(["20", "<b>21</b>"])
    expect(panel.get_by_label("Use of ward")).to_have_value("left_out")
    expect(panel.get_by_label("Kind of joined")).to_have_value("datetime")
    assert told == [{}]
    expect(rows.nth(1).locator(".why")).to_have_text("it says which rows belong together; 20 different texts")
    # No names of the API: neither in a reason nor in a warning.
    assert "spec" not in panel.inner_text()


def test_what_is_corrected_is_sent_with_the_same_file_and_no_job_starts_before(
    page: Page, chosen: Callable[[], None], told: list[dict[str, Any]]
) -> None:
    chosen()
    start = page.get_by_role("button", name="Start the job")
    expect(start).to_be_enabled()
    page.get_by_label("Use of ward").select_option("Belongs together")
    page.get_by_label("Use of visit").select_option("Leave out")
    page.get_by_label("Kind of age").select_option("Category")
    page.get_by_label("Texts that mean a missing value").fill("-999, unknown")
    page.get_by_label("Decimals are written").select_option("1,5")
    page.get_by_label("01/02/2023 is").select_option("2 January")
    expect(start).to_be_disabled()
    expect(page.get_by_text("Read the file again to use the changes.")).to_be_visible()
    page.get_by_role("button", name="Read again").click()
    expect(start).to_be_enabled()
    assert told[1] == {
        "group": "ward",
        "exclude": ["visit"],
        "kinds": {"age": "categorical"},
        "missing": ["-999", "unknown"],
        "decimal": ",",
        "day_first": False,
    }


def test_a_first_line_that_is_a_sample_is_said_without_the_names_that_it_gave_to_columns(
    page: Page, chosen: Callable[[], None], told: list[dict[str, Any]]
) -> None:
    chosen()
    page.get_by_label("Use of ward").select_option("Leave out")
    page.get_by_label("The first line is").select_option("a sample")
    page.get_by_role("button", name="Read again").click()
    expect(page.get_by_role("button", name="Start the job")).to_be_enabled()
    assert told[1] == {"header": False}
    expect(page.get_by_label("The first line is")).to_have_value("sample")


def test_one_column_is_the_label_and_one_that_was_left_out_is_learnt_from_by_its_name(
    page: Page, chosen: Callable[[], None], told: list[dict[str, Any]]
) -> None:
    chosen()
    page.get_by_label("Use of age").select_option("Label")
    expect(page.get_by_label("Use of outcome")).to_have_value("input")
    page.get_by_role("button", name="Read again").click()
    expect(page.get_by_role("button", name="Start the job")).to_be_enabled()
    assert told[1] == {"label": "age", "exclude": []}
    page.get_by_label("Use of ward").select_option("Learn from")
    page.get_by_role("button", name="Read again").click()
    expect(page.get_by_role("button", name="Start the job")).to_be_enabled()
    assert told[2]["features"] == ["ward", "age", "joined"]


def test_classes_that_may_be_one_are_merged_by_a_button(
    page: Page, chosen: Callable[[], None], told: list[dict[str, Any]]
) -> None:
    chosen()
    page.get_by_role("button", name="Merge into well").click()
    expect(page.get_by_role("button", name="Start the job")).to_be_enabled()
    assert told[1]["merge_labels"] == {"well": ["Well"]}


def test_a_column_that_may_say_which_samples_belong_together_is_offered(
    page: Page, chosen: Callable[[], None], told: list[dict[str, Any]]
) -> None:
    chosen()
    page.get_by_role("button", name="Keep each ward together").click()
    expect(page.get_by_role("button", name="Start the job")).to_be_enabled()
    assert told[1]["group"] == "ward"


@pytest.mark.parametrize("by_name", [False, True])
def test_a_file_whose_label_is_not_clear_asks_for_it(
    page: Page, chosen: Callable[[], None], watched: Watched, by_name: bool
) -> None:
    sent: list[dict[str, Any]] = []

    def answer(route: Route) -> None:
        sent.append(spec_of(route.request))
        if len(sent) > 1:
            route.fulfill(status=201, json=described())
            return
        fault = {
            "loc": ["spec", "label"],
            "msg": "which column is the label? it may be ward (20 values); name it as spec.label, one of: ward, age",
        }
        refusal = {
            "status": 422,
            "detail": fault["msg"],
            "errors": [fault],
            "label_candidates": ["ward", ["age", "outcome"]],
        }
        route.fulfill(status=422, json=refusal, content_type="application/problem+json")

    page.route("**/datasets", answer)
    chosen()
    question = page.get_by_role("group", name="Which column is the label?")
    expect(question).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("button", name="Start the job")).to_be_hidden()
    if by_name:
        question.get_by_label("Its name").fill("outcome")
        page.keyboard.press("Enter")
    else:
        question.get_by_role("button", name="age, outcome").click()
    expect(page.get_by_role("button", name="Start the job")).to_be_enabled()
    expect(question).to_be_hidden()
    assert sent[1]["label"] == ("outcome" if by_name else ["age", "outcome"])
    assert watched.refused == [(422, "/datasets")]
    watched.refused.clear()


@pytest.mark.parametrize(
    ("name", "content", "title", "detail", "status"),
    [
        ("empty.csv", b"", "This file cannot be used as it is", "The file is empty.", 422),
        ("notes.zip", b"a text\n", "This kind of file cannot be read", "Use a table (CSV, Excel", 415),
        ("cut.json", b"{", "This file is damaged, or is not what its name says", "Line 1 is not JSON", 400),
    ],
)
def test_a_file_that_is_refused_says_why_and_what_to_do(
    page: Page, tmp_path: Path, watched: Watched, name: str, content: bytes, title: str, detail: str, status: int
) -> None:
    (tmp_path / name).write_bytes(content)
    page.goto(f"{PAGE}#/new")
    page.get_by_label(FIELD).set_input_files(tmp_path / name)
    refusal = page.get_by_role("alert")
    expect(refusal.get_by_role("heading", name=title, exact=True)).to_be_visible()
    expect(refusal.get_by_text(detail)).to_be_visible()
    assert "reader" not in refusal.inner_text()
    expect(page.get_by_role("button", name="Another file")).to_be_visible()
    assert watched.refused == [(status, "/datasets")]
    watched.refused.clear()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_the_reasons_of_a_refusal_have_no_barrier(
    browser: Browser, server: str, axe_script: str, tmp_path: Path, width: int, theme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(
        base_url=server, viewport={"width": width, "height": 900}, color_scheme=theme, bypass_csp=True
    )
    page = context.new_page()
    (tmp_path / "notes.zip").write_bytes(b"a text\n")
    page.goto(f"{PAGE}#/new")
    page.get_by_label(FIELD).set_input_files(tmp_path / "notes.zip")
    panel = page.get_by_role("button", name="All that can be read")
    expect(panel).to_have_attribute("aria-expanded", "false")
    panel.press("Enter")
    opened = page.get_by_role("button", name="Hide what can be read")
    expect(opened).to_have_attribute("aria-expanded", "true")
    expect(page.locator(f"[id='{opened.get_attribute('aria-controls')}']")).to_contain_text("CSV")
    assert axe.violations(page, axe_script) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_a_file_that_is_still_being_read_is_left_for_another(
    page: Page, chosen: Callable[[], None], tmp_path: Path
) -> None:
    waiting: list[Route] = []
    page.route("**/datasets", lambda route: waiting.append(route))
    chosen()
    expect(page.get_by_role("progressbar", name=re.compile("visits.csv"))).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    (tmp_path / "later.csv").write_text(FILE)
    with page.expect_request("**/datasets"):
        page.get_by_label(FIELD).set_input_files(tmp_path / "later.csv")
    expect(page.get_by_role("progressbar", name=re.compile("later.csv"))).to_be_visible()
    waiting[1].fulfill(status=201, json=described(name="later.csv"))
    expect(page.get_by_role("heading", name="later.csv")).to_be_visible()
    expect(page.get_by_role("button", name="Start the job")).to_be_enabled()


def test_a_wide_table_shows_its_first_columns_and_all_of_them_on_request(
    page: Page, chosen: Callable[[], None]
) -> None:
    wide = [{**described()["columns"][2], "name": f"a{place}"} for place in range(250)]
    page.route("**/datasets", lambda route: route.fulfill(status=201, json=described(columns=wide)))
    chosen()
    expect(page.locator("tbody tr")).to_have_count(60)
    page.get_by_role("button", name="Show all 250 columns").click()
    expect(page.locator("tbody tr")).to_have_count(250)


def test_a_job_can_be_started_wherever_its_options_are_scrolled_to(page: Page, chosen: Callable[[], None]) -> None:
    page.set_viewport_size({"width": 1280, "height": 700})
    chosen()
    page.get_by_role("button", name="Model and options").click()
    form = page.get_by_role("form", name="Start the job")
    expect(page.get_by_label("Learning rate", exact=True)).to_be_visible()
    expect(form.get_by_text("MLP.", exact=True)).to_be_visible()  # once the estimate has come
    assert form.evaluate("one => one.scrollHeight > one.clientHeight")
    for place in ("0", "one.scrollHeight / 2", "one.scrollHeight"):
        form.evaluate(f"one => one.scrollTo(0, {place})")
        expect(page.get_by_role("button", name="Start the job")).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_page(
    page: Page, chosen: Callable[[], None], told: list[dict[str, Any]], width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    chosen()
    expect(page.locator("tbody tr")).to_have_count(len(COLUMNS))
    assert told
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_real_file_is_read_corrected_and_becomes_a_job(
    page: Page, chosen: Callable[[], None], client: httpx.Client
) -> None:
    chosen()
    start = page.get_by_role("button", name="Start the job")
    expect(start).to_be_enabled()
    expect(page.get_by_label("Kind of ward")).to_have_value("categorical")
    page.get_by_label("Use of ward").select_option("Belongs together")
    page.get_by_label("Use of visit").select_option("Learn from")
    page.get_by_role("button", name="Read again").press("Enter")
    expect(start).to_be_enabled()
    row = page.locator("tbody tr").filter(has=page.get_by_role("rowheader", name="ward"))
    expect(row.locator(".why")).to_contain_text("as you said")
    start.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("visits")
    (job,) = client.get("/jobs").json()["items"]
    assert (job["dataset"]["rows"], job["dataset"]["inferred"]["label"]) == (ROWS, "outcome")
    roles = {one["name"]: one["role"] for one in client.get(f"/datasets/{job['dataset']['id']}").json()["columns"]}
    assert roles == {"visit": "input", "ward": "group", "age": "input", "joined": "input", "outcome": "label"}


def test_a_real_file_of_unclear_label_becomes_a_job_by_one_good_answer(
    page: Page, client: httpx.Client, watched: Watched, tmp_path: Path
) -> None:
    lines = [
        f"{row * 7 % 13}.5,{('round', 'square')[row % 2]},{('red', 'blue', 'pink')[row % 3]},{row}.25\n"
        for row in range(60)
    ]
    (tmp_path / "tiles.csv").write_text("weight,form,colour,length\n" + "".join(lines))
    page.goto(f"{PAGE}#/new")
    page.get_by_label(FIELD).set_input_files(tmp_path / "tiles.csv")
    question = page.get_by_role("group", name="Which column is the label?")
    buttons = ["form", "colour", "Read again", "The first line is a sample, not names of columns"]
    expect(question.get_by_role("button")).to_have_text(buttons)
    # A column that cannot be the label is no end: its refusal says why, and the question stays.
    question.get_by_label("Its name").fill("length")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("length")
    expect(question.get_by_role("button")).to_have_text(buttons)
    question.get_by_role("button", name="colour").click()
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("tiles")
    (job,) = client.get("/jobs").json()["items"]
    assert job["dataset"]["classes"] == ["blue", "pink", "red"]
    assert watched.refused == [(422, "/datasets")] * 2
    watched.refused.clear()
