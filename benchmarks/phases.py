"""Where the time of a default job goes: the share of each phase, and of the parts of those that compute.

    python -m benchmarks.phases [--jobs table texts ...]

A table (adult), photographs (CIFAR-10 as JPEG files), digits (MNIST), texts (TREC questions) and embeddings of these, each
uploaded to a real service with one real worker of one thread, with nothing chosen: what `curl` with a file gives. Phases are those of
`result.timings`; "reading" is the upload until the job is queued, "waiting" what no phase has: the queue and the search for work. A
file is sent once before, so that nothing is counted that only the first job of a worker does.

The parts are of the same job in this process: which module the job had called, looked up every 5 ms.
"""

import argparse
import gzip
import io
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import numpy as np
import torch

from benchmarks.data import DATA, cifar, embedded, taken
from benchmarks.ranked_job import served
from benchmarks.result_sections import write_sections
from benchmarks.runs import run
from service.domain.dataset import DatasetSpec
from service.domain.specs import JobOptions
from service.settings import Settings
from service.store.engine import migrate
from tests import servers
from tests.integration.installation import Installation
from worker.backbones import BackboneContext, FeatureCache

RESULTS = Path(__file__).parent / "results"
PHOTOGRAPHS, DIGITS = 3_000, 3_000
_EVERY_S = 0.005
_FEWEST = 0.02  # of the time, for a part to be told
_WORKER = str(Path(__file__).parents[1] / "worker") + "/"

Upload = tuple[str, bytes, dict[str, Any]]


def _table() -> Upload:
    return "adult.csv", gzip.decompress((DATA / "tabular" / "adult.csv.gz").read_bytes()), {"label": "target"}


def _photographs() -> Upload:
    return *cifar(PHOTOGRAPHS), {}


def _digits() -> Upload:
    arrays, file = np.load(DATA / "images" / "mnist.npz"), io.BytesIO()
    np.savez(file, x=arrays["x_train"][:DIGITS], y=arrays["y_train"][:DIGITS])
    return "mnist.npz", file.getvalue(), {}


def _texts() -> Upload:
    return "trec.csv", gzip.decompress((DATA / "text" / "trec_questions.csv.gz").read_bytes()), {"label": "target"}


def _embeddings() -> Upload:
    file = io.BytesIO()
    x, y = embedded("trec_minilm")
    np.savez(file, x=x, y=y)
    return "trec.npz", file.getvalue(), {"modality": "embedding"}


JOBS: dict[str, Callable[[], Upload]] = {
    "table": _table,
    "photographs": _photographs,
    "digits": _digits,
    "texts": _texts,
    "embeddings": _embeddings,
}


def phases(installation: Installation, upload: Upload) -> tuple[dict[str, Any], dict[str, float]]:
    """A default job, and the seconds of its phases."""
    name, content, dataset = upload
    began = time.perf_counter()
    answer = installation.client.post(
        "/jobs", files={"file": (name, content)}, data={"spec": json.dumps({"dataset": dataset})}, timeout=600
    )
    read = time.perf_counter() - began
    job = installation.wait(answer.raise_for_status().json()["id"], "completed")
    found = {"reading": read, **{name.removesuffix("_s"): s for name, s in job["result"]["timings"].items()}}
    found["waiting"] = max(time.perf_counter() - began - sum(found.values()), 0.0)
    return job, found


class Parts:
    """How often each module was what the job had called, of all looks at a thread."""

    def __init__(self) -> None:
        self.counts = Counter[str]()

    @contextmanager
    def looked_up(self) -> Iterator[None]:
        """Look at this thread until the end of the block."""
        thread, ended = threading.get_ident(), threading.Event()

        def look() -> None:
            while not ended.wait(_EVERY_S):
                self.counts[_called(sys._current_frames()[thread])] += 1  # noqa: SLF001 - there is no other way to look at a thread

        looker = threading.Thread(target=look)
        looker.start()
        try:
            yield
        finally:
            ended.set()
            looker.join()

    def shares(self) -> dict[str, float]:
        """The larger parts and the rest of them, as shares of 1."""
        total = self.counts.total()
        found = {name: count / total for name, count in self.counts.most_common() if count >= _FEWEST * total}
        return {**found, "everything else": 1 - sum(found.values())}


def _called(frame: FrameType | None) -> str:
    """The module that a function of `worker.job` had called, `worker.` left out; else that function's own."""
    inner = "no module of the worker"
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(_WORKER):
            module = path.removeprefix(_WORKER).removesuffix(".py").replace("/", ".")
            if module.startswith("job."):
                return inner if not inner.startswith("no ") else module
            inner = module
        frame = frame.f_back
    return inner


def parts(upload: Upload, folder: Path) -> dict[str, float]:
    """Shares of the parts of a default job, from its dataset to its ranking."""
    name, content, dataset = upload
    source = folder / name
    source.write_bytes(content)
    info, canonical = taken(source, DatasetSpec(**dataset), folder)
    looks = Parts()
    backbones = BackboneContext(
        folder / "models", folder / "networks", FeatureCache(folder / "features", 10**9), folder
    )
    with looks.looked_up():
        run(info, canonical, JobOptions(), backbones)
    return looks.shares()


def main() -> None:
    """Measure and write benchmarks/results/phases.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    chosen = parser.parse_args().jobs
    torch.set_num_threads(1)
    uploads = {name: JOBS[name]() for name in chosen}
    found: dict[str, tuple[dict[str, Any], dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder, servers.valkey() as broker:
        database = f"sqlite:///{folder}/suspects.db"
        migrate(database)
        settings = Settings(home=Path(folder) / "home", database_url=database, broker_url=broker)
        # A process of its own, from which the ones that read uploads are forked: this one would give them torch to import.
        with ExitStack() as running:
            address, _ = running.enter_context(served(settings.home, database, broker))
            client = running.enter_context(httpx.Client(base_url=address, trust_env=False, timeout=60))
            installation = Installation(settings, client)
            running.enter_context(installation.worker())
            installation.wait_for_workers(1)
            installation.wait(installation.submit({}), "completed")
            for name, upload in uploads.items():
                found[name] = phases(installation, upload)
                print(name, found[name][1], file=sys.stderr, flush=True)
    sections: dict[str, list[str]] = {"Phases": _phases_table(found)}
    for name, upload in uploads.items():
        with tempfile.TemporaryDirectory() as folder:
            shares = parts(upload, Path(folder))
        sections[f"Parts: {name}"] = [
            "| module | share |",
            "|---|---|",
            *(f"| {part} | {share:.0%} |" for part, share in shares.items()),
        ]
    print(write_sections(RESULTS / "phases.md", "Where the time of default jobs goes", sections))


def _phases_table(found: Mapping[str, tuple[Mapping[str, Any], Mapping[str, float]]]) -> list[str]:
    names = list(dict.fromkeys(phase for _, seconds in found.values() for phase in seconds))
    lines = [
        f"| job | rows | model | seconds | {' | '.join(name.replace('_', ' ') for name in names)} |",
        "|---" * (len(names) + 4) + "|",
    ]
    for name, (job, seconds) in found.items():
        total = sum(seconds.values())
        shares = " | ".join(f"{seconds[phase] / total:.0%}" if phase in seconds else "" for phase in names)
        rows = job["result"]["samples"]
        lines.append(f"| {name} | {rows:,} | {job['spec']['model']['name']} | {total:.1f} | {shares} |")
    return lines


if __name__ == "__main__":
    main()
