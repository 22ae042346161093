"""A recorded PyTorch loop beside the service's own training of the same model: how far the rankings are apart.

    python -m benchmarks.recorded [DATASET ...]

The same model, the same first weights and the same batches; the loop's recording goes through a file and ingest, as an
upload does. The distance is the largest difference of any signal, in units of that signal's largest value.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn.functional import cross_entropy

from benchmarks.data import load
from benchmarks.runs import run
from service.domain.dataset import DatasetInfo, DatasetSpec
from service.domain.resolve import resolve
from service.domain.specs import JobOptions, JobSpec, ModelRequest, TrainingRequest
from service.ingest import Limits, ingest
from usual_suspects.recorder import TraceRecorder
from worker.data.canonical import open_canonical
from worker.job.measuring import measure
from worker.job.preparation import PreparedJob, prepare
from worker.job.ranking import RankingResult, rank
from worker.job.recorded import open_recording
from worker.training.loop import learning_rate

RESULTS = Path(__file__).parent / "results"
_ROWS = 3_000


def options(model: str) -> JobOptions:
    """A plain training, all of whose epochs are scored."""
    return JobOptions(model=ModelRequest(name=model), training=TrainingRequest(epochs=6, checkpoints="all"))


def recorded(spec: JobSpec, prepared: PreparedJob, path: Path) -> Path:
    """The file of a plain loop; shuffled as worker.training.loop shuffles."""
    model, labels, training = prepared.model, prepared.planted.labels, spec.training
    optimizer = torch.optim.SGD(model.parameters(), lr=training.learning_rate, momentum=training.momentum)
    with TraceRecorder(model, (*prepared.inputs, labels), path, classes=prepared.classes) as recorder:
        for epoch in range(1, training.epochs + 1):
            torch.manual_seed(training.seed * 1_000_003 + epoch)
            model.train()
            for rows in torch.split(torch.randperm(len(labels)), training.batch_size):
                optimizer.zero_grad()
                torch.autograd.backward(cross_entropy(model(*(part[rows] for part in prepared.inputs)), labels[rows]))
                optimizer.step()
            recorder.record(learning_rate(training, epoch))
    return path


def ranked(path: Path, info: DatasetInfo, folder: Path) -> RankingResult:
    """What the service makes of the file."""
    found = ingest(path, path.name, DatasetSpec(), folder / "data", folder / "skipped", Limits())
    info = info.model_copy(update={name: getattr(found, name) for name in found.__dataclass_fields__})
    spec, dataset = (
        resolve(JobOptions(training=TrainingRequest(checkpoints="all")), info),
        open_canonical(folder / "data"),
    )
    played = open_recording(spec, dataset, folder / "scratch")
    return rank(
        played.samples,
        spec,
        measure(played.samples, spec, played.train, played.reference, lambda _share: None),
        dataset,
    )


def compared(name: str, model: str) -> tuple[str, ...]:
    """One line of the table."""
    info, dataset = load(name, _ROWS)
    own = run(info, dataset, options(model)).outcome
    spec = resolve(options(model), info)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        path = recorded(spec, prepare(spec, dataset, None), folder / "run")
        size, began = path.stat().st_size / 2**20, time.perf_counter()
        other = ranked(path, info, folder)
        took = time.perf_counter() - began
    signals = own.result["signals"]
    far = max(_far(own, other, signal) for signal in signals)
    return name, model, str(len(own.table)), str(len(signals)), f"{far:.1e}", f"{size:.0f}", f"{took:.1f}"


def _far(own: RankingResult, other: RankingResult, signal: str) -> float:
    one, two = (np.asarray(outcome.table[signal], np.float64) for outcome in (own, other))
    return float(np.abs(one - two).max() / np.abs(one).max(initial=1e-30))


def main() -> None:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", default=["satimage", "mnist"], metavar="DATASET")
    heads = ("dataset", "model", "samples", "signals", "largest difference", "file, MiB", "ingest and ranking, s")
    lines = [compared(name, "small_cnn" if name == "mnist" else "mlp") for name in parser.parse_args().datasets]
    table = Table(*heads)
    for line in lines:
        table.add_row(*line)
    Console().print(table)
    text = "\n".join("| " + " | ".join(line) + " |" for line in (heads, ("---",) * len(heads), *lines))
    (RESULTS / "recorded.md").write_text(f"# A recorded loop beside the service's own training\n\n{text}\n")


if __name__ == "__main__":
    main()
