"""The dialog of the labelling tool: what its buttons do in the tool, and what they say. The tool is a stand-in.

`make test-label-studio` sends by them to the real one, and takes back.
"""

import re
from collections.abc import Iterator
from typing import Literal

import httpx
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Locator, Page, expect

from service.main import create_app
from service.services import Services
from service.settings import Settings
from tests.browser import axe
from tests.browser.conftest import PAGE, Watched
from tests.stand_in import TOKEN, StandIn, annotation
from tests.unit.label_studio.test_label_studio_reconcile import LATE, animals, ranked


@pytest.fixture
def tool() -> Iterator[StandIn]:
    """A tool with one project."""
    with animals() as running:
        yield running


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    """A service that may speak with loopback."""
    return create_app(settings.model_copy(update={"allow_private_connections": True}))


@pytest.fixture
def job(client: httpx.Client, services: Services, tool: StandIn) -> str:
    """A ranked project of the tool."""
    connection = client.post("/connections", json={"kind": "label_studio", "url": tool.url, "token": TOKEN}).json()[
        "id"
    ]
    return ranked(client, services, connection)


def opened(page: Page, job: str, project: int = 7) -> Locator:
    """The dialog, opened over the ranking."""
    page.goto("about:blank")
    page.goto(f"{PAGE}#/jobs/{job}/suspects")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("button", name="Labelling tool…").click()
    dialog = page.get_by_role("dialog", name="Labelling tool")
    expect(dialog.get_by_text(f"The samples came from project {project}")).to_be_visible()
    return dialog


def says(dialog: Locator, text: str | re.Pattern[str], within_ms: float | None = None) -> None:
    expect(dialog.get_by_role("status").filter(has_text=text)).to_be_visible(timeout=within_ms)


def in_queue(tool: StandIn) -> set[int]:
    """The tasks without an annotation."""
    return {task["id"] for task in tool.tasks if not task["annotations"]}


def flagged(client: httpx.Client, job: str) -> set[int]:
    items = client.get(f"/jobs/{job}/suspects", params={"limit": 1000}).json()["items"]
    return {int(one["sample"]["id"]) for one in items if one["verdict"] in ("mislabeled", "anomalous")}


def test_a_trial_writes_nothing_and_sending_makes_the_tab(
    page: Page, job: str, tool: StandIn, client: httpx.Client
) -> None:
    dialog = opened(page, job)
    ranking = client.get(f"/jobs/{job}/suspects", params={"limit": 1}).json()["total"]
    before = [task["annotations"] for task in tool.tasks]
    dialog.get_by_role("button", name="What would change?").click()
    says(dialog, f"This would be sent: {ranking} suggestions.")
    assert (tool.predictions, tool.views) == ([], [])
    dialog.get_by_role("button", name="Send", exact=True).click()
    says(dialog, re.compile(rf"^Sent: {ranking} suggestions\."))
    assert len(tool.predictions) == ranking
    assert len(tool.views) == 1
    assert [task["annotations"] for task in tool.tasks] == before
    link = dialog.get_by_role("link", name="Open it in")
    assert str(link.get_attribute("href")).startswith(f"{tool.url}/projects/7/data?tab=1")
    dialog.get_by_role("button", name="Send", exact=True).click()
    says(dialog, "The suggestions were there already.")
    assert len(tool.predictions) == ranking


def test_suggestions_alone_change_nothing_else(page: Page, job: str, tool: StandIn, client: httpx.Client) -> None:
    dialog = opened(page, job)
    ranking = client.get(f"/jobs/{job}/suspects", params={"limit": 1}).json()["total"]
    before = [task["annotations"] for task in tool.tasks]
    dialog.get_by_label("Suggestions only").check()
    dialog.get_by_role("button", name="Send", exact=True).click()
    says(dialog, re.compile(rf"^Sent: {ranking} suggestions\."))
    assert len(tool.predictions) == ranking
    assert (tool.views, tool.others) == ([], {})
    assert [task["annotations"] for task in tool.tasks] == before


def test_decisions_that_cannot_be_read_are_told_until_they_can(
    page: Page, job: str, tool: StandIn, watched: Watched
) -> None:
    dialog = opened(page, job)
    tool.refuses.append(("GET", "/api/tasks/"))
    dialog.get_by_role("button", name="Read decisions now").click()
    expect(dialog.get_by_role("status").filter(has_text=tool.url)).to_be_visible()
    assert watched.refused == [(502, f"/jobs/{job}/reconcile")]
    watched.refused.clear()
    dialog.get_by_role("button", name="Close this message").click()
    dialog.get_by_role("button", name="Read decisions now").click()
    says(dialog, "No new decision there.")


def test_suspects_go_into_a_project_of_their_own(page: Page, job: str, tool: StandIn, client: httpx.Client) -> None:
    dialog = opened(page, job)
    dialog.get_by_label("A project to review").check()
    dialog.get_by_role("button", name="Send", exact=True).click()
    count = len(flagged(client, job))
    says(dialog, f"{count} suspects in the project to review.")
    assert len(tool.others[8]) == count


def test_suspects_go_back_into_the_queue_and_out_of_it_also_after_a_reload(
    page: Page, job: str, tool: StandIn, client: httpx.Client
) -> None:
    dialog = opened(page, job)
    take_back = dialog.get_by_role("button", name="Take them out of the queue again")
    expect(take_back).to_be_hidden()
    dialog.get_by_label("Back into the queue").check()
    take_back.click()
    says(dialog, "Nothing of this job is back in the queue.")
    dialog.get_by_role("button", name="Send", exact=True).click()
    says(dialog, f"{len(flagged(client, job))} suspects back in the queue.")
    sent = in_queue(tool)
    assert sent == flagged(client, job)
    done = tool.tasks[min(sent) - 1]
    done["annotations"].append(annotation(5001, "eel", **LATE))
    dialog = opened(page, job)
    dialog.get_by_label("Back into the queue").check()
    take_back.click()
    says(dialog, f"{len(sent) - 1} tasks taken out of the queue again. 1 task left as it is")
    assert in_queue(tool) == set()
    assert [one["id"] for one in done["annotations"]] == [5001]


def test_decisions_that_were_made_there_are_read_now_and_are_in_the_list(
    page: Page, job: str, tool: StandIn, client: httpx.Client
) -> None:
    dialog = opened(page, job)
    expect(dialog.get_by_text("Not read yet.")).to_be_visible()
    dialog.get_by_role("button", name="Read decisions now").click()
    says(dialog, "No new decision there.")
    expect(dialog.get_by_text("this happens by itself")).to_be_visible()
    first = client.get(f"/jobs/{job}/suspects", params={"limit": 1}).json()["items"][0]
    label = next(name for name in ("cat", "dog", "eel") if name != first["given_label"])
    number = int(first["sample"]["id"])
    tool.tasks[number - 1]["annotations"] = [annotation(number * 10, label, **LATE)]
    dialog.get_by_role("button", name="Read decisions now").click()
    says(dialog, "1 new decision read.")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("[data-place='0']")).to_contain_text(label)
    expect(page.get_by_text("1 of").first).to_be_visible()


def test_what_the_tool_refuses_is_said_in_the_dialog_where_it_can_be_closed(
    page: Page, job: str, tool: StandIn, watched: Watched
) -> None:
    dialog = opened(page, job)
    tool.refuses.append(("POST", "/api/projects/7/import/predictions"))
    tool.refuses.append(("POST", "/api/predictions/"))
    dialog.get_by_role("button", name="Send", exact=True).click()
    message = dialog.get_by_role("status").filter(has_text=tool.url)
    expect(message).to_be_visible()
    dialog.get_by_role("button", name="Close this message").click()
    expect(message).to_be_hidden()
    dialog.get_by_role("button", name="Send", exact=True).click()
    says(dialog, "Sent:")
    assert watched.refused == [(502, f"/jobs/{job}/push")]
    watched.refused.clear()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 360])
def test_the_dialog_has_no_barrier_and_fits(
    browser: Browser, server: str, job: str, axe_script: str, width: int, theme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(
        base_url=server, viewport={"width": width, "height": 900}, color_scheme=theme, bypass_csp=True
    )
    page = context.new_page()
    dialog = opened(page, job)
    dialog.get_by_label("Back into the queue").check()
    dialog.get_by_role("button", name="What would change?").click()
    says(dialog, "This would be sent")
    assert axe.violations(page, axe_script) == []
    assert dialog.evaluate("one => one.scrollWidth <= one.clientWidth")
    context.close()
