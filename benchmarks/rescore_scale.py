"""What it costs to score a large job again by what people have verified: seconds and the memory of the worker.

    python -m benchmarks.rescore_scale [--rows 1000000] [--verified 60] [--database sqlite]

The job is written as a worker writes it, with six numbers and two categories a row, the two headline signals, and the checkpoints of
the default model after a training on some of the rows. Samples are verified and the rescoring is asked for over HTTP; a process of its own then does what a
worker does, and the kernel tells its peak memory. Files that are mapped count in it while they are in memory; what the process
allocated itself is told apart. Writes a section of results/rescore.md.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import httpx
import torch

from benchmarks.ranked_job import Filled, database_of, fill, review_some, served
from benchmarks.result_sections import write_sections
from service.domain.signal import HEADLINES
from service.settings import Settings
from service.store import jobs, rescorings
from service.store.blobs import Blobs
from service.store.engine import Database, migrate, open_database
from service.store.seal import sealed_write
from tests.builders import job_spec, result
from worker.data.canonical import open_canonical
from worker.job.context import WorkerContext, checkpoint_path, found_rate_path
from worker.job.preparation import prepare
from worker.job.rescoring import claim_next_rescoring, run_rescoring
from worker.job.trees_beside import save_answers
from worker.machine.devices import CPU
from worker.training.loop import EpochMetrics, TrainingState, checkpoints, train

RESULTS = Path(__file__).parent / "results"
TITLE = "Rescoring by verified samples"
TRAINED_ON = 1_000
RATE = 0.02
_JOB = "job_1"


def write_checkpoints(blobs: Blobs, filled: Filled) -> None:
    """The checkpoints of the job, trained on some of its rows, and the learning rate that it found."""
    spec = job_spec(filled.info)
    prepared = prepare(spec, open_canonical(blobs.canonical(filled.info.id)), None)
    kept, folder = checkpoints(spec.training), blobs.checkpoints(_JOB)
    folder.mkdir(parents=True, exist_ok=True)

    def after_epoch(state: TrainingState, _metrics: EpochMetrics) -> None:
        if state.epoch in kept:
            state.save(checkpoint_path(folder, state.epoch))

    training = spec.training.model_copy(update={"learning_rate": RATE})
    inputs = tuple(part[:TRAINED_ON] for part in prepared.inputs)
    train(prepared.model, inputs, prepared.planted.labels[:TRAINED_ON], training, resume=None, after_epoch=after_epoch)
    # What trees said is made up: it is read, whatever it is.
    save_answers(folder, torch.rand(len(prepared.rows), len(prepared.classes)).softmax(1))
    known = {found_rate_path(blobs, _JOB): {"rate": RATE}, blobs.evidence(_JOB) / "header.json": {"epochs": kept}}
    for path, value in known.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with sealed_write(path) as part:
            part.write_text(json.dumps(value))


def _tell_estimates(database: Database, rows: int) -> None:
    told = {"status": "rough", "count": rows // 20, "low": rows // 25, "high": rows // 15, "reason": None}
    with database.write() as connection:
        estimates = {"mislabeled": told, "anomalous": {**told, "status": "unknown"}}
        jobs.replace_result(connection, _JOB, {**result(rows, HEADLINES), "estimates": estimates})


def rescore(home: Path, database_url: str) -> dict[str, float]:
    """Do the rescoring that waits, in this process: seconds, and gigabytes before it, at most, and of its own at most."""
    database = open_database(database_url)
    settings = Settings(home=home, database_url=database_url)
    context = WorkerContext(settings, database, Blobs(home), CPU, lambda: False)
    before, over, allocated = _peak(), threading.Event(), [0.0]

    def watch() -> None:
        while not over.wait(0.05):
            allocated[0] = max(allocated[0], _allocated())

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    began, worked = time.perf_counter(), time.process_time()
    claim = claim_next_rescoring("benchmark", context)
    assert claim is not None
    run_rescoring(claim, context)
    found = {"seconds": time.perf_counter() - began, "processor": time.process_time() - worked}
    over.set()
    watching.join()
    with database.read() as connection:
        done = rescorings.latest(connection, _JOB)
    if done is None or done.state != "completed":
        raise SystemExit(f"the rescoring did not complete: {done}")
    return {**found, "before": before, "peak": _peak(), "allocated": allocated[0], "verified": float(done.samples or 0)}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def _allocated() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 2**20


def measure(rows: int, verified: int, kind: str) -> dict[str, float]:
    """Make the job, have it reviewed and rescored."""
    with tempfile.TemporaryDirectory(prefix="suspects-rescore-") as name, ExitStack() as stack:
        home = Path(name)
        url = stack.enter_context(database_of(kind, home))
        migrate(url)
        database, blobs = open_database(url), Blobs(home)
        write_checkpoints(blobs, fill(database, blobs, rows, signals=HEADLINES, mixed_ids=True, now=datetime.now(UTC)))
        _tell_estimates(database, rows)
        database.close()
        print("made", flush=True)
        with served(home, url) as (address, _), httpx.Client(base_url=address, trust_env=False, timeout=120) as client:
            review_some(client, verified)
            answer = client.post(f"/jobs/{_JOB}/rescore")
            if answer.is_error:
                raise SystemExit(answer.text)
        command = [sys.executable, "-m", "benchmarks.rescore_scale", "--alone", name, url]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - this very module
        found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--verified", type=int, default=60)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument(
        "--alone", nargs=2, metavar=("HOME", "URL"), help="do the rescoring that waits there, and print JSON"
    )
    arguments = parser.parse_args()
    if arguments.alone:
        home, url = arguments.alone
        print(json.dumps(rescore(Path(home), url)))
        return
    found = measure(arguments.rows, arguments.verified, arguments.database)
    kind = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[arguments.database]
    line = (
        f"{arguments.rows:,} samples of 6 numbers and 2 categories, {found['verified']:.0f} verified, 8 checkpoints of `mlp`, {kind}: "
        f"{found['seconds']:.0f} s by the clock, {found['processor']:.0f} s of processors ({torch.get_num_threads()} threads on "
        f"{os.cpu_count()} cores, {datetime.now(UTC):%Y-%m-%d}). Peak memory of the process {found['peak']:.1f} GB with mapped files, "
        f"{found['allocated']:.1f} GB of its own; {found['before']:.1f} GB before. `python -m benchmarks.rescore_scale`"
    )
    write_sections(RESULTS / "rescore.md", TITLE, {f"{arguments.rows:,} samples, {kind}": [line]})
    print(line)


if __name__ == "__main__":
    main()
