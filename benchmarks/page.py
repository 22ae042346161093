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
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from rich.console import Console

from service.domain.dataset import METADATA_KEY, CanonicalHeader, DatasetInfo, Feature
from service.domain.job import Progress, State
from service.ingest.canonical import GROUP_ROWS
from service.store import datasets, jobs, ranking_columns, rankings
from service.store.blobs import Blobs
from service.store.engine import Database, migrate, open_database
from service.terminal.processes import free_port
from tests import servers
from tests.browser.chromium import find
from tests.builders import COMPUTED, LEASE, NOON, dataset_info, job_spec, result, summaries

RESULTS = Path(__file__).parent / "results"
CLASSES = [f"class {letter}" for letter in "abcdefghij"]
NUMERIC, CATEGORICAL = 6, 2
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


def fill(database: Database, blobs: Blobs, rows: int) -> DatasetInfo:
    """A completed job over `rows` rows of six numbers and two categories, in random order of suspicion."""
    names = [f"measure {n}" for n in range(NUMERIC)] + [f"kind {n}" for n in range(CATEGORICAL)]
    kinds = ["numeric"] * NUMERIC + ["categorical"] * CATEGORICAL
    features = [
        Feature.model_validate({"name": name, "kind": kind, "column": f"f{place}"})
        for place, (name, kind) in enumerate(zip(names, kinds, strict=True))
    ]
    info = dataset_info(
        rows=rows,
        name=f"{rows:,} rows",
        classes=CLASSES,
        class_counts={name: len(range(place, rows, len(CLASSES))) for place, name in enumerate(CLASSES)},
        features=features,
        splits={"train": rows},
    )
    _write_canonical(blobs.canonical(info.id), info)
    table, columns = _ranking(rows)
    with database.write() as connection:
        datasets.add(connection, info)
        jobs.add(connection, "job_1", job_spec(info), NOON)
        held = jobs.claim(connection, "job_1", "worker-1", LEASE, NOON)
        if held is None:
            raise RuntimeError("the job that was added is not to be claimed")
        for state in (State.TRAINING, State.SCORING, State.RANKING):
            jobs.advance(connection, held, state, Progress(phase=state, fraction=0.5), NOON)
        jobs.complete(connection, held, result(rows), NOON)
        rankings.save(connection, "job_1", table)
        rankings.save_summaries(connection, "job_1", summaries())
    ranking_columns.save(blobs.ranking("job_1"), table, COMPUTED, columns)
    return info


def _write_canonical(path: Path, info: DatasetInfo) -> None:
    header = CanonicalHeader(
        modality=info.modality,
        classes=info.classes,
        features=[{"name": one.name, "kind": one.kind, "column": one.column} for one in info.features],
    )
    draw, index = np.random.default_rng(0), np.arange(info.rows)
    columns: dict[str, Any] = {
        "index": index,
        "id": [f"row-{place}" for place in index.tolist()],
        "label": pa.array(index % len(info.classes), pa.int32()),
        "split": pa.DictionaryArray.from_arrays(np.zeros(info.rows, np.int32), ["train"]).cast(pa.string()),
    }
    for one in info.features:
        columns[one.column] = (
            np.round(draw.normal(size=info.rows), 4)
            if one.kind == "numeric"
            else pa.DictionaryArray.from_arrays(
                draw.integers(0, 12, info.rows), [f"category {n}" for n in range(12)]
            ).cast(pa.string())
        )
    table = pa.table(columns).replace_schema_metadata({METADATA_KEY: header.model_dump_json().encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    words = ["split", *(one.column for one in info.features if one.kind == "categorical")]
    pq.write_table(table, path, GROUP_ROWS, compression="zstd", use_dictionary=words, write_statistics=["index", "id"])


def _ranking(rows: int) -> tuple[pa.Table, dict[str, Any]]:
    draw, index = np.random.default_rng(1), np.arange(rows)
    names = np.array(CLASSES, dtype=object)
    wrong, odd = index % 20 == 7, index % 50 == 3
    table = pa.table(
        {
            "index": index,
            "position": index,
            "sample_id": [f"row-{place}" for place in index.tolist()],
            "given_label": pa.array(names[index % len(names)], pa.string()),
            "suggested_label": pa.array(names[(index + wrong) % len(names)], pa.string()),
            "suggested_confidence": draw.uniform(0.3, 1, rows),
            "verdict": pa.array(np.where(wrong, "mislabeled", np.where(odd, "anomalous", "clean"))),
            "planted_kind": pa.nulls(rows, pa.string()),
            "planted_label": pa.nulls(rows, pa.string()),
            **{name: np.round(draw.uniform(size=rows), 6) for name in COMPUTED},
        }
    )
    maps = draw.normal(size=(rows, 2)).astype(np.float32)
    return table, {"wrong": draw.uniform(size=rows).astype(np.float32), "map-pca": maps}


@contextmanager
def served(home: Path, database_url: str) -> Iterator[str]:
    """URL of the service, in a process of its own, without a worker."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SUSPECTS_")}
    with servers.valkey() as broker, (home / "api.log").open("w") as log:
        environment |= {
            "SUSPECTS_HOME": str(home),
            "SUSPECTS_DATABASE_URL": database_url,
            "SUSPECTS_BROKER_URL": broker,
        }
        command = [sys.executable, "-m", "uvicorn", "--factory", "service.main:create_app", "--port", str(port)]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: S603 - ours
        try:
            url = f"http://127.0.0.1:{port}"
            _await(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit("the service did not start; its log is api.log in its home")
        try:
            httpx.get(f"{url}/healthz", trust_env=False).raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the service did not answer within a minute")


def review_some(client: httpx.Client) -> None:
    """Decide on the first of the ranking."""
    items = client.get("/jobs/job_1/suspects", params={"limit": REVIEWED}).raise_for_status().json()["items"]
    words = [{"sample_id": one["sample"]["id"], "decision": "keep"} for one in items]
    client.post("/jobs/job_1/reviews", json=words).raise_for_status()


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


@contextmanager
def _database(kind: str, home: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield f"sqlite:///{home / 'suspects.db'}"
        return
    with servers.postgres() as url:
        yield url


def measure(kind: str, rows: int, home: Path, browser: Browser) -> list[str]:
    """The section of the results about one database."""
    home.mkdir(parents=True)
    lines = [f"## {'SQLite' if kind == 'sqlite' else 'PostgreSQL'}", ""]
    with ExitStack() as stack:
        url = stack.enter_context(_database(kind, home))
        migrate(url)
        database = open_database(url)
        fill(database, Blobs(home), rows)
        database.close()
        address = stack.enter_context(served(home, url))
        with httpx.Client(base_url=address, trust_env=False, timeout=120) as client:
            began = time.perf_counter()
            client.get("/jobs/job_1/suspects", params={"limit": 100}).raise_for_status()
            lines += [
                f"First answer of a service that has just started: {(time.perf_counter() - began) * 1e3:.0f} ms.",
                "",
            ]
            review_some(client)
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
