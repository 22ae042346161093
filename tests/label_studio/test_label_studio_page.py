"""The dialog of the page beside the real Label Studio: its buttons do there what they say."""

import re

import pytest
from playwright.sync_api import Browser

from tests.browser.test_page_tool import opened, says
from tests.label_studio.news import scene
from tests.label_studio.ours import Installation
from tests.label_studio.tool import Tool, numbers

pytestmark = pytest.mark.label_studio

_PATIENCE_MS = 240_000  # the tool takes predictions one by one


def test_suspects_are_sent_and_taken_out_of_the_queue_in_the_tool_by_the_buttons_of_the_page(
    browser: Browser, tool: Tool, installation: Installation
) -> None:
    one = scene(tool, installation, seed=4, verified=150)
    suspects = installation.suspects(one.job)
    context = browser.new_context(base_url=installation.url, viewport={"width": 1440, "height": 900}, locale="en-GB")
    context.set_default_timeout(120_000)
    page = context.new_page()
    dialog = opened(page, one.job, one.project)
    send = dialog.get_by_role("button", name="Send", exact=True)
    send.click()
    says(dialog, re.compile(rf"^Sent: {len(suspects)} suggestions\."), _PATIENCE_MS)
    project, tab = numbers(str(dialog.get_by_role("link", name="Open it in").get_attribute("href")))[:2]
    assert project == one.project
    assert tool.in_tab(project, tab) == [int(one["sample"]["id"]) for one in suspects]

    dialog.get_by_label("Back into the queue").check()
    send.click()
    says(dialog, "back in the queue.", _PATIENCE_MS)
    flagged = {int(one["sample"]["id"]) for one in suspects if one["verdict"] in ("mislabeled", "anomalous")}
    assert flagged
    assert {task["id"] for task in tool.tasks(project) if not task["is_labeled"]} == flagged
    dialog.get_by_role("button", name="Take them out of the queue again").click()
    says(dialog, f"{len(flagged)} tasks taken out of the queue again.", _PATIENCE_MS)
    assert all(task["is_labeled"] for task in tool.tasks(project))
    context.close()
