"""A download of the page is the file that was asked for, or says why it is none."""

import io

import httpx
import pytest
import xlsxwriter
from playwright.sync_api import Page, expect

from service.services import Services
from tests.browser.conftest import Watched
from tests.browser.reviewed_job import finished_over, known, ready, suspects
from tests.builders import form

__all__ = ["known"]

ROWS = [[number + 0.5, number % 7, "AB"[number % 2]] for number in range(60)]


def workbook() -> bytes:
    """A workbook of one sheet."""
    file = io.BytesIO()
    with xlsxwriter.Workbook(file, {"in_memory": True}) as book:
        sheet = book.add_worksheet("farm")
        for place, row in enumerate([["weight", "day", "target"], *ROWS]):
            sheet.write_row(place, 0, row)
    return file.getvalue()


def arff() -> bytes:
    """The same table with the header of ARFF."""
    head = "@relation farm\n@attribute weight numeric\n@attribute day numeric\n@attribute target {A,B}\n@data\n"
    return (head + "\n".join(f"{weight},{day},{target}" for weight, day, target in ROWS)).encode()


@pytest.mark.parametrize(
    ("content", "name", "why"),
    [(workbook(), "farm.xlsx", "excel, sheet farm"), (arff(), "farm.arff", "arff, encoding utf-8")],
)
@pytest.mark.parametrize("key", [None, "sesame"])
def test_what_cannot_be_written_in_its_own_form_is_given_as_csv_and_says_why(
    page: Page,
    services: Services,
    client: httpx.Client,
    watched: Watched,
    known: None,
    content: bytes,
    name: str,
    why: str,
    key: str | None,
) -> None:
    if key:
        page.add_init_script(f"sessionStorage.setItem('key', '{key}')")
    ready(page, finished_over(services, client, form(content, name)))
    first = suspects(client)[0]
    page.keyboard.press("r")
    corrected = page.get_by_role("button", name="Corrected file 1 change", exact=True)
    expect(corrected).to_be_enabled()
    reason = f"a corrected file cannot be written as {why}"
    # Before anything is tried, too.
    page.get_by_role("button", name="Other forms of the corrected file").click()
    own = page.get_by_role("button", name="As it was uploaded")
    expect(own).to_be_disabled()
    expect(own).to_contain_text(f"Not possible: {reason}")
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        corrected.click()
    assert download.value.suggested_filename == "farm-corrected.csv"
    lines = download.value.path().read_text().splitlines()
    assert lines[0].endswith("previous_label,reviewed_by")
    assert len(lines) == 1 + len(ROWS)
    assert [line for line in lines if line.endswith(f"{first['given_label']},Noor")]
    expect(page.get_by_text(f"The file is CSV, because {reason}.")).to_be_visible()
    assert {status for status, _ in watched.refused} == {409}
    watched.refused.clear()
    # The dialog of all downloads offers what can be had.
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("button", name="Downloads…").click()
    dialog = page.get_by_role("dialog", name="Downloads")
    expect(dialog.get_by_label("Form", exact=True).locator("option")).to_have_text(
        ["CSV", "Parquet", "JSON lines", "List of changes (CSV)"]
    )
    expect(dialog).to_contain_text(f"A corrected file cannot be written as {why}")
    with page.expect_download() as again:
        dialog.get_by_role("button", name="Download corrected dataset").click()
    assert again.value.suggested_filename == "farm-corrected.csv"


def test_a_download_that_is_refused_is_an_error_and_no_file(
    page: Page, services: Services, client: httpx.Client, watched: Watched, known: None
) -> None:
    ready(page, finished_over(services, client, form(arff(), "farm.arff")))
    saved: list[str] = []
    page.on("download", lambda download: saved.append(download.url))
    page.route(
        "**/suspects?*format=csv*", lambda route: route.fulfill(status=503, json={"detail": "The disk is full."})
    )
    page.get_by_role("button", name="Download the ranking").click()
    page.get_by_role("button", name="CSV", exact=True).click()
    expect(page.get_by_text("The disk is full.")).to_be_visible()
    page.wait_for_timeout(500)
    assert saved == []
    assert watched.refused == [(503, "/jobs/job_1/suspects")]
    watched.refused.clear()


def test_what_can_be_written_in_its_own_form_is_offered_and_given_in_it(
    page: Page, services: Services, client: httpx.Client, known: None
) -> None:
    table = "\n".join(["weight,day,target", *(f"{weight},{day},{target}" for weight, day, target in ROWS)])
    ready(page, finished_over(services, client, form(table.encode(), "farm.csv")))
    page.keyboard.press("r")
    with page.expect_response("**/web/written-forms.json"):
        page.reload()
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("button", name="Downloads…").click()
    dialog = page.get_by_role("dialog", name="Downloads")
    expect(dialog.get_by_label("Form", exact=True)).to_have_value("original")
    expect(dialog).to_contain_text("The columns, order and form stay as they were.")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Other forms of the corrected file").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="As it was uploaded").click()
    expect(page.get_by_text("Corrected file of 60 samples: 1 relabelled, 0 removed")).to_be_visible()
    assert download.value.suggested_filename == "farm-corrected.csv"
    assert download.value.path().read_text().startswith("weight,day,target\n")
