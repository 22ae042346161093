"""Whether the page holds a million ranked rows: frames a second while it scrolls, its heap, and how fast a filter answers.

    python -m benchmarks.page [--rows 1000000] [--databases sqlite postgresql]

A completed job is written as a worker writes it: canonical file, table, columns. The service runs in a process of its own,
the page in headless Chromium, which draws on the same cores. Frames are those that requestAnimationFrame was given. Work is
what the page's main thread did by its own processor clock, from Chrome's trace, so that a busy machine does not count in it.
The heap is counted after a forced collection. Filters are asked for as the page does, a page of 100 rows each; the page's
own time is from the change of the address to the first row of the new list.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from rich.console import Console

from benchmarks.ranked_job import CLASSES, database_of, fill, review_some, served
from service.store.blobs import Blobs
from service.store.engine import migrate, open_database
from tests.browser.chromium import find

RESULTS = Path(__file__).parent / "results"
REVIEWED, REPEATS = 1_000, 5
FILTERS: dict[str, dict[str, Any]] = {
    "none": {},
    "given label": {"label": CLASSES[3]},
    "suggested label": {"suggested": CLASSES[5]},
    "both labels": {"label": CLASSES[7], "suggested": CLASSES[8]},
    "verdict": {"verdict": "mislabeled"},
    "labels differ": {"disagrees": True},
    "confidence": {"min_confidence": 0.95},
    "score": {"min_score": 0.5},
    "not reviewed": {"reviewed": False},
    "decision": {"decision": "keep"},
    "id contains": {"q": "9999"},
    "polygon on the map": {"region": "pca:0,0;1,0;1,1;0,1"},
    "order by another signal": {"by": "aai"},
    "place 500,000": {"offset": 500_000},
    "everything at once": {"label": CLASSES[7], "disagrees": True, "min_confidence": 0.5, "reviewed": False, "q": "7"},
}
# The frames since it was last asked: their times in milliseconds.
_FRAMES = """() => { const taken = []; window.frames_taken = taken;
  const take = (now) => { taken.push(now); if (window.frames_taken === taken) requestAnimationFrame(take); };
  requestAnimationFrame(take); }"""
_FRAMES_TAKEN = "() => { const taken = window.frames_taken; window.frames_taken = undefined; return taken; }"
# From the change of the address to the first row of another list; the rows of the list that was there carry a mark.
_CHANGE = """(address) => new Promise((done) => {
  performance.clearResourceTimings();
  document.querySelectorAll("[data-place]").forEach((row) => (row.dataset.before = ""));
  const began = performance.now();
  const look = () => document.querySelector("[data-place='0']:not([data-before])")
    ? done([performance.now() - began,
            ...performance.getEntriesByType("resource").filter((one) => one.name.includes("/suspects?"))
              .map((one) => one.duration).slice(0, 1)])
    : performance.now() - began > 20000 ? done(null) : setTimeout(look, 1);
  location.hash = address; setTimeout(look, 1); })"""


def answers(client: httpx.Client) -> list[str]:
    """A line for each filter: its first answer, then median and slowest of the repeats, in milliseconds."""
    lines, every = [], []
    for name, query in FILTERS.items():
        by = query.get("by", "mislabeled")
        taken = []
        for _ in range(1 + REPEATS):
            began = time.perf_counter()
            found = client.get(
                "/jobs/job_1/suspects", params={"by": by, "signals": by, "limit": 100, **query}
            ).raise_for_status()
            taken.append((time.perf_counter() - began) * 1e3)
        every += taken
        cells = (
            name,
            f"{found.json()['total']:,}",
            *(f"{ms:.0f}" for ms in (taken[0], _middle(taken[1:]), max(taken))),
        )
        lines.append("| " + " | ".join(cells) + " |")
    lines.append(f"| **all** | | | {_middle(every):.0f} (95 %: {_share(every, 95):.0f}) | {max(every):.0f} |")
    return lines


def changes(page: Page, job: str) -> str:
    """What a change of the filter takes in the page."""
    whole, asked = [], []
    for query in (
        "label=class+d",
        "suggested=class+f",
        "verdict=mislabeled",
        "disagrees=true",
        "min_confidence=0.9",
        "reviewed=false",
        "q=77",
        "by=aai",
    ):
        for address in (f"{job}?{query}", job):
            found = page.evaluate(_CHANGE, address)
            if found is None:
                raise SystemExit(f"no row within 20 s after {address}")
            whole.append(found[0])
            asked += found[1:]
    return (
        f"From a change of the filter to its first row: median {_middle(whole):.0f} ms, 95 % within "
        f"{_share(whole, 95):.0f} ms (of it the answer {_middle(asked):.0f} and {_share(asked, 95):.0f} ms), "
        f"{len(whole)} changes."
    )


def scroll(browser: Browser, page: Page, seconds: float = 5) -> list[str]:
    """A line for each way of scrolling, then the heap and the elements of the page."""
    box = page.get_by_role("grid").bounding_box()
    if box is None:
        raise SystemExit("the page shows no ranking")
    session = page.context.new_cdp_session(page)

    def wheel(step: float) -> None:
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            page.mouse.wheel(0, step)

    def drag() -> None:
        # By script: a headless browser draws no bar that a mouse could hold.
        began = time.perf_counter()
        while (passed := (time.perf_counter() - began) / seconds) < 1:
            # Down, up, and down again.
            share = 1 - abs(1 - passed * 3 % 2)
            page.evaluate(
                "(share) => { const list = document.querySelector('[role=grid]');"
                " list.scrollTop = share * (list.scrollHeight - list.clientHeight); }",
                share,
            )

    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    before = _heap(session)
    lines, heaps = [], [before]
    still = _frames(browser, page, lambda: page.wait_for_timeout(seconds * 1e3))
    lines.append(_frames_line("nothing, for comparison", still))
    for name, how in (
        ("wheel, 100 px a step", lambda: wheel(100)),
        ("wheel, 1,000 px a step", lambda: wheel(1_000)),
        ("place of the bar, end to end", drag),
    ):
        lines.append(_frames_line(name, _frames(browser, page, how)))
        page.wait_for_timeout(1_000)
        heaps.append(_heap(session))
    for _ in range(3):
        drag()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        wheel(1_000)
        page.wait_for_timeout(1_000)
        heaps.append(_heap(session))
    sizes = ", ".join(f"{size:.1f}" for size, _ in heaps)
    return [
        *lines,
        "",
        f"Heap in MB at first, after each of these, and after three more rounds of the bar and the wheel: {sizes}.",
        f"Nodes of the document: {', '.join(f'{nodes:,}' for _, nodes in heaps)}.",
    ]


def _frames(browser: Browser, page: Page, how: Any) -> tuple[list[float], float]:
    """Milliseconds between frames, and milliseconds of work a frame."""
    browser.start_tracing(
        page=page, categories=["devtools.timeline", "toplevel", "disabled-by-default-devtools.timeline"]
    )
    page.evaluate(_FRAMES)
    how()
    taken = page.evaluate(_FRAMES_TAKEN)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    threads = [(one["pid"], one["tid"]) for one in events if one.get("args", {}).get("name") == "CrRendererMain"]
    work = sum(
        one.get("tdur", 0)
        for one in events
        if one["name"] in ("RunTask", "ThreadControllerImpl::RunTask") and (one["pid"], one["tid"]) in threads
    )
    return np.diff(taken).tolist(), work / 1e3 / max(1, len(taken))


def _frames_line(name: str, measured: tuple[list[float], float]) -> str:
    gaps, work = measured
    cells = (
        f"{1e3 * len(gaps) / sum(gaps):.0f}",
        f"{statistics.median(gaps):.1f}",
        f"{_share(gaps, 95):.1f}",
        f"{max(gaps):.0f}",
        f"{work:.1f}",
    )
    return "| " + " | ".join((name, *cells)) + " |"


def _heap(session: CDPSession) -> tuple[float, int]:
    """Megabytes of the heap and the number of nodes, after a collection."""
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return found["JSHeapUsedSize"] / 2**20, int(found["Nodes"])


def _middle(values: list[float]) -> float:
    return statistics.median(values)


def _share(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent))


def measure(kind: str, rows: int, home: Path, browser: Browser) -> list[str]:
    """The section of the results about one database."""
    home.mkdir(parents=True)
    lines = [f"## {'SQLite' if kind == 'sqlite' else 'PostgreSQL'}", ""]
    with ExitStack() as stack:
        url = stack.enter_context(database_of(kind, home))
        migrate(url)
        database = open_database(url)
        fill(database, Blobs(home), rows)
        database.close()
        address, _ = stack.enter_context(served(home, url))
        with httpx.Client(base_url=address, trust_env=False, timeout=120) as client:
            began = time.perf_counter()
            client.get("/jobs/job_1/suspects", params={"limit": 100}).raise_for_status()
            lines += [
                f"First answer of a service that has just started: {(time.perf_counter() - began) * 1e3:.0f} ms.",
                "",
            ]
            review_some(client, REVIEWED)
            lines += [
                "| filter | samples | first ms | median ms | slowest ms |",
                "|---|---|---|---|---|",
                *answers(client),
            ]
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.add_init_script("localStorage.setItem('reviewer', 'Noor')")
        job = "#/jobs/job_1/suspects"
        page.set_default_timeout(60_000)
        page.goto(f"{address}/{job}")
        page.locator("[data-place='0']").wait_for()
        page.wait_for_timeout(1_000)
        lines += ["", changes(page, job), ""]
        lines += [
            "| scrolled by | frames/s | median ms | 95 % ms | longest ms | work ms a frame |",
            "|---|---|---|---|---|---|",
        ]
        lines += [*scroll(browser, page), ""]
        page.close()
    return lines


def main() -> None:
    """Measure on each database, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    arguments = parser.parse_args()
    found = find()
    if found is None:
        raise SystemExit("no browser: run `make test` once, or name one in TEST_BROWSER")
    lines = [f"# the page over {arguments.rows:,} ranked rows, 1440 x 900, {os.cpu_count()} cores", ""]
    RESULTS.mkdir(exist_ok=True)
    with sync_playwright() as driver, tempfile.TemporaryDirectory(prefix="suspects-page-") as name:
        browser = driver.chromium.launch(
            executable_path=found.path,
            env={**os.environ, **found.environment},
        )
        for kind in arguments.databases:
            busy = os.getloadavg()[0]
            section = measure(kind, arguments.rows, Path(name) / kind, browser)
            heading, *rest = section
            told = f"Load of the machine (tasks that want to run): {busy:.1f} before, {os.getloadavg()[0]:.1f} after."
            lines += [heading, "", told, *rest]
            # After each: the next takes minutes.
            (RESULTS / "page.md").write_text("\n".join(lines).rstrip() + "\n")
        browser.close()
    Console(width=140).print("\n".join(lines))


if __name__ == "__main__":
    main()
