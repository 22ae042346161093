"""An epoch of training on a GPU, and the outputs of one checkpoint, in the ways that there are, in one run.

    python -m benchmarks.gpu_training [--repeats 5]

`copied`: every batch is copied from the processor's memory, and every operation is launched by itself. `resident`: the samples
stay on the GPU. `graph`: the step is a CUDA graph too, which is what a worker does. Ways take turns; medians are printed, and
their ratios are what counts. Of the checkpoint: batches as on a processor, copied, and batches of up to 16,384 samples that
stay there. Without a GPU nothing is measured.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.training_speed import Case, embeddings, table
from service.domain.models import MODELS
from service.domain.specs import ModelRequest, Training
from worker.data.shape import InputShape
from worker.influence.activations import ActivationRecorder
from worker.machine.arithmetic import fix_arithmetic
from worker.machine.cuda_graphs import graphs_of
from worker.models import build, head
from worker.training.loop import train

RESULTS = Path(__file__).parent / "results"
_IMAGES, _SIDE, _CLASSES = 20_000, 32, 10
_COLUMNS = (
    *("training", "samples", "batch", "copied ms", "resident ms", "graph ms", "copied over graph"),
    *("checkpoint, before ms", "now ms", "before over now"),
)


def images(name: str, training: Training) -> Case:
    """A network for images, on noise: how long a step takes does not depend on what is seen."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (_IMAGES, 3, _SIDE, _SIDE), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, _CLASSES, (_IMAGES,), generator=generator)
    shape = InputShape("image", image=(3, _SIDE, _SIDE), pixel_mean=(127.5,) * 3, pixel_deviation=(74.0,) * 3)
    request = ModelRequest(name=name, params=MODELS[name].params().model_dump())
    return build(request, shape, _CLASSES, 0), (pixels,), labels, training


def cases() -> dict[str, Case]:
    """Those of the table of prototypes that this follows: a table, embeddings and two networks for images."""
    adult = table("adult")
    training = adult[-1].model_copy(update={"optimizer": "sgd", "learning_rate": 0.01})
    return {
        "adult, auto": adult,
        "embeddings, mlp_probe": embeddings("mlp_probe", adult[-1]),
        "images, small_cnn": images("small_cnn", training),
        "images, resnet20": images("resnet20", training.model_copy(update={"batch_size": 128})),
    }


def epoch(case: Case, device: torch.device, *, resident: bool, graph: bool) -> float:
    """Seconds of the second epoch: the first also moves, warms up and records."""
    model, inputs, labels, training = case
    ends: list[float] = []
    brief = training.model_copy(update={"epochs": 2, "learning_rate": training.learning_rate / 4})
    with ExitStack() as changed:
        if not resident:
            changed.enter_context(patch("worker.machine.placed_samples._SHARE", 0.0))
        # An epoch ends when its mean loss is known, which waits for the GPU.
        train(
            model.to(device),
            inputs,
            labels,
            brief,
            resume=None,
            after_epoch=lambda *_: ends.append(time.perf_counter()),
            graphs_of=graphs_of if graph else lambda _device: None,
        )
    return ends[1] - ends[0]


def checkpoint(case: Case, device: torch.device, *, before: bool) -> float:
    """Seconds in which the outputs of the second checkpoint are recorded."""
    model, inputs, _, _ = case
    with ExitStack() as changed, tempfile.TemporaryDirectory() as scratch:
        if before:
            changed.enter_context(patch("worker.machine.placed_samples._SHARE", 0.0))
            changed.enter_context(
                patch("worker.influence.activations._GPU_BATCH", 256 if inputs[0].dim() > 2 else 2048)
            )
        recorder = ActivationRecorder(model.to(device), head(model), inputs, (0.1, 0.1), Path(scratch))
        recorder.read_checkpoint(0)
        began = time.perf_counter()
        recorder.read_checkpoint(1)  # what it gives is on the processor
        return time.perf_counter() - began


def measure(case: Case, device: torch.device, repeats: int) -> list[str]:
    """A line of the table, from the number of samples on."""
    ways: list[Callable[[], float]] = [
        lambda: epoch(case, device, resident=False, graph=False),
        lambda: epoch(case, device, resident=True, graph=False),
        lambda: epoch(case, device, resident=True, graph=True),
        lambda: checkpoint(case, device, before=True),
        lambda: checkpoint(case, device, before=False),
    ]
    times = [[way() for way in ways] for _ in range(repeats)]
    copied, resident, graph, before, now = (1_000 * statistics.median(values) for values in zip(*times, strict=True))
    return [
        *(f"{len(case[2]):,}", str(case[3].batch_size), f"{copied:.0f}", f"{resident:.0f}", f"{graph:.0f}"),
        *(f"{copied / graph:.1f}", f"{before:.1f}", f"{now:.1f}", f"{before / now:.1f}"),
    ]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    if not torch.cuda.is_available():
        print("torch sees no GPU here, so nothing was measured.")
        return
    device = torch.device("cuda:0")
    fix_arithmetic(gpu=True)
    title = f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}, medians of {repeats}"
    shown = Table(*_COLUMNS, title=title)
    lines = [f"# {title}", "", "| " + " | ".join(_COLUMNS) + " |", "|---" * len(_COLUMNS) + "|"]
    for name, case in cases().items():
        row = [name, *measure(case, device, repeats)]
        shown.add_row(*row)
        lines.append("| " + " | ".join(row) + " |")
    Console(width=160).print(shown)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gpu_training.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
