"""What a job costs and finds beside captum, dattri and cleanlab, in one run: seconds, memory, planted errors found.

    python -m benchmarks.peers [--rows 2000] [--threads 1] [--quick] [DATASET ...]

10 % wrong labels of two kinds, the same for everybody. Ours is the whole job with the model that `auto` is. captum and
dattri get the checkpoints of its network, and what they cost comes on top of that training; the reference is the training
set itself. captum's self-influence finds what ours finds, and each peer's values are compared with ours for the same
layer: the run ends with an error where they are more than 1e-4 apart. dattri, exact, runs on 500 samples at one
checkpoint; its time is proportional to the numbers of gradients that it computes. cleanlab scores out-of-fold probabilities: by LightGBM,
and by the job's network with the learning rate that the job found. Each method runs in a process of its own, on the CPU
and, where there is one, on a GPU. `--quick` takes 300 rows of one table and writes nothing.
"""

import argparse
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.data import load
from benchmarks.peer_methods import METHODS, RATE, Cost, Planted, is_missing, job, measured, package

RESULTS = Path(__file__).parent / "results"
KINDS = {"mislabeled_uniform": "any other label", "mislabeled_pair": "the next class"}
SETS, ROWS, QUICK = ("adult", "satimage", "trec_minilm"), 2_000, 300
WHOLE = "ours, the whole job"
# Loaded before anything is measured; torch's compiler as a worker loads it. Those that are not installed are passed over.
LIBRARIES = ["benchmarks.peer_methods", "torch._dynamo", "cleanlab.rank", "dattri.algorithm.tracin"]
COLUMNS = ("set", "method", "training s", "after it s", "in all s", "processor s", "of the job's", "memory MB")

NOTES = (
    "Training is that of the job, preparation included; captum, dattri and our influence alone take its checkpoints. cleanlab trains by itself.",
    "AP: average precision of the wrong labels (with two classes both kinds are the same), by `mislabeled` of the job, by self-influence, by the negated sum of the influence on the reference, or by cleanlab's self-confidence.",
    "dattri ran on a part, and its seconds are in proportion; its values are those of captum's TracInCP. TracInCPFast leaves out the bias.",
    "Memory: peak of the process above what the libraries take. Seconds are those of the run with fewer processor seconds, of one for each kind of errors; processor seconds include the training, and are told as a multiple of those of the whole job.",
)


@dataclass(frozen=True)
class Settings:
    """How many rows of each set, on which device, by how many threads."""

    rows: int
    device: str
    threads: int


Costs = dict[str, list[Cost]]  # by method, one for each kind of errors


def costs(name: str, kinds: list[str], at: Settings, folder: Path) -> Costs:
    """Every method on one set, the whole job first. With two classes all kinds are the same, and the first is taken."""
    info, dataset = load(name, at.rows, 0)
    found: Costs = {}
    for kind in kinds[:1] if len(info.classes) == 2 else kinds:
        planted = Planted(info, dataset.path, kind, folder / f"{name}-{kind}-{at.device}", at.device, at.threads)
        planted.folder.mkdir()
        work = {WHOLE: partial(job, planted), **{method: partial(measured, method, planted) for method in METHODS}}
        for method, run in work.items():
            if is_missing(method) or (package(method) == "dattri" and kind != kinds[0]):
                continue  # dattri's values are the same as captum's, and its time does not depend on the labels
            found.setdefault(method, []).append(_alone(run))
            print(name, kind, at.device, method, found[method][-1], flush=True)
    return found


def _alone(work: Callable[[], Cost]) -> Cost:
    """The work in a process of its own, forked from one that has loaded the libraries and done nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(work).result()


def table_rows(name: str, found: Costs, kinds: list[str]) -> list[list[str]]:
    """A row of cells for each method: the fastest of its runs, and the average precision of each."""
    trained = _least(found[WHOLE])
    rows = []
    for method in (WHOLE, *METHODS):
        several = found.get(method)
        if several is None:
            rows.append([name, method, f"{package(method)} is not installed", *[""] * (len(COLUMNS) - 3 + len(kinds))])
            continue
        own = _least(several)
        before, whole, computed = own.trained_s, own.seconds, own.processor_s
        if method != WHOLE and package(method) != "cleanlab":
            before = trained.trained_s
            whole, computed = whole + before, computed + trained.trained_processor_s
        seconds = [f"{before:.2f}" if before else "", f"{whole - before:.2f}", f"{whole:.2f}", f"{computed:.2f}"]
        ratio = f"{computed / trained.processor_s:.2f} times"
        memory = f"{max(one.memory for one in several):.0f}"
        if any(one.device_memory for one in several):
            memory += f", GPU {max(one.device_memory for one in several):.0f}"
        precisions = ["" if one.found is None else f"{one.found:.3f}" for one in several]
        rows.append(
            [
                name,
                f"**{method}**" if method == WHOLE else method,
                *seconds,
                ratio,
                memory,
                *precisions,
                *[""] * (len(kinds) - len(precisions)),
            ]
        )
    return rows


def _least(several: list[Cost]) -> Cost:
    return min(several, key=lambda one: one.processor_s)


def differences(every: list[Costs]) -> str:
    """How far the peers' values are from ours at most."""
    found: dict[str, float] = {}
    for costs_of_set in every:
        for method, several in costs_of_set.items():
            told = [one.difference for one in several if one.difference is not None]
            if told:
                found[method] = max(found.get(method, 0.0), *told)
    named = ", ".join(f"{method} {difference:.0e}" for method, difference in found.items())
    return f"Largest difference from our values for the same layer, in units of the largest value: {named}."


def versions() -> str:
    """What was compared, by version."""
    there = []
    for name in ("captum", "dattri", "cleanlab", "lightgbm", "torch"):
        try:
            there.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            there.append(f"no {name}")
    return f"Versions: {', '.join(there)}."


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", default=SETS)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    sets, rows, kinds = list(arguments.datasets), arguments.rows, list(KINDS)
    if arguments.quick:
        sets, rows, kinds = sets[1:2] or sets, QUICK, kinds[:1]
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    header = [*COLUMNS, *(f"AP, {KINDS[kind]}" for kind in kinds)]
    title = f"A job beside its peers: {rows:,} rows, {RATE:.0%} wrong labels, threads: {arguments.threads}"
    table = Table(*header, title=title)
    lines = [f"# {title}", "", "| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    every: list[Costs] = []
    before = os.getloadavg()
    with tempfile.TemporaryDirectory() as folder:
        for device in devices:
            for name in sets:
                every.append(costs(name, kinds, Settings(rows, device, arguments.threads), Path(folder)))
                for row in table_rows(name if device == "cpu" else f"{name}, GPU", every[-1], kinds):
                    table.add_row(*row)
                    lines.append("| " + " | ".join(row) + " |")
    notes = [*NOTES, differences(every), versions()]
    notes.append(
        f"Load of the machine, of {os.cpu_count()} cores: {before[0]:.1f} before, {os.getloadavg()[0]:.1f} after."
    )
    Console(width=180).print(table, *notes, sep="\n")
    if not arguments.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "peers.md").write_text("\n".join([*lines, "", *(f"- {note}" for note in notes)]) + "\n")


if __name__ == "__main__":
    main()
