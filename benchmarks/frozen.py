"""From scratch against a frozen pretrained backbone: what each finds of planted mislabels, by kind of image and text.

    python -m benchmarks.frozen [--rows 2000] [--seeds 1] [--side 160] [SET ...]

Average precision of `mislabeled` and `aum` at 10 % uniform mislabels, and the seconds of preparation and training together.
The backbones are those that come as packages; their outputs are computed once for all seeds, in the first of them. Images are
enlarged to `--side` pixels. Yoruba headlines have their clean labels here. Writes results/frozen.md.
"""

import argparse
import io
import statistics
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.data import DATA, cifar, load, scratch, taken
from benchmarks.runs import Run, fixed, run
from service.domain.dataset import DatasetInfo, DatasetSpec
from service.domain.specs import Glitch, JobOptions, ModelRequest, TrainingRequest
from worker.backbones import BackboneContext, FeatureCache
from worker.data.canonical import Canonical

RESULTS = Path(__file__).parent / "results"
SETS = {
    "cifar": "CIFAR-10 JPEG, colour, 32 x 32",
    "cifar_grey": "CIFAR-10 in grey, 32 x 32",
    "cifar_grey28": "CIFAR-10 in grey, reduced to 28 x 28",
    "mnist": "MNIST, grey, 28 x 28",
    "fmnist": "Fashion-MNIST, grey, 28 x 28",
    "trec": "TREC, English questions",
    "yoruba": "Yoruba headlines",
}
COLUMNS = ("set", "rows", "model", "AP of mislabeled", "AP of aum", "train accuracy", "seconds")


def candidates(info: DatasetInfo, side: int) -> list[ModelRequest]:
    """The network that is trained from scratch, and the heads on a frozen backbone."""
    size: dict[str, Any] = {} if info.modality == "text" else {"image_size": side}
    tried = [{"head": head, **size} for head in ("linear", "mlp")]
    return [fixed(info), *(ModelRequest(name=f"pretrained_{info.modality}", params=params) for params in tried)]


def opened(name: str, rows: int, seed: int) -> tuple[DatasetInfo, Canonical]:
    """A development set, at most `rows` of it."""
    if name in ("mnist", "fmnist", "trec"):
        return load(name, rows, seed)
    folder = scratch()
    if name == "yoruba":
        source = DATA / "text" / "yoruba_news_weak.csv.gz"
        return taken(source, DatasetSpec(name=name, label="clean_label", features=["text"]), folder)
    file, content = cifar(rows)
    if name != "cifar":
        content = _grey(content, 28 if name == "cifar_grey28" else 32)
    (folder / file).write_bytes(content)
    return taken(folder / file, DatasetSpec(name=name), folder)


def _grey(archive: bytes, side: int) -> bytes:
    """The images of an archive without their colours, of another size."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as source, zipfile.ZipFile(made, "w") as target:
        for name in source.namelist():
            file = io.BytesIO()
            image = Image.open(io.BytesIO(source.read(name))).convert("L")
            image.resize((side, side), Image.Resampling.BOX).save(file, "PNG")
            target.writestr(str(Path(name).with_suffix(".png")), file.getvalue())
    return made.getvalue()


def lines(name: str, rows: int, seeds: int, side: int, backbones: BackboneContext) -> list[str]:
    """One line a model."""
    found: dict[str, list[Run]] = {}
    for seed in range(seeds):
        info, dataset = opened(name, rows, seed)
        for model in candidates(info, side):
            options = JobOptions(
                model=model,
                training=TrainingRequest(seed=seed),
                glitches=[Glitch(kind="mislabeled_uniform", rate=0.1, seed=seed)],
            )
            title = model.name if not model.params else f"{model.name}, head {model.params['head']}"
            found.setdefault(title, []).append(run(info, dataset, options, backbones))
    return [_line(name, title, runs) for title, runs in found.items()]


def _line(name: str, title: str, runs: list[Run]) -> str:
    cells = [
        SETS[name],
        f"{len(runs[0].prepared.rows):,}",
        title,
        *(f"{_mean(runs, signal):.3f}" for signal in ("mislabeled", "aum")),
        f"{statistics.mean(one.outcome.result['model']['train_accuracy'] for one in runs):.3f}",
        f"{statistics.mean(one.prepare_s + one.training_s for one in runs):.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _mean(runs: list[Run], signal: str) -> float:
    return statistics.mean(float(one.outcome.summaries[signal]["detection"]["average_precision"]) for one in runs)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS), metavar="SET")
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--side", type=int, default=160)
    arguments = parser.parse_args()
    table = [
        f"# From scratch against frozen, at most {arguments.rows:,} rows, images of {arguments.side} pixels, 10 % planted mislabels, seeds: {arguments.seeds}",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
    ]
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        backbones = BackboneContext(room / "models", room / "networks", FeatureCache(room / "features", 10**9), room)
        for one in arguments.sets:
            table += lines(one, arguments.rows, arguments.seeds, arguments.side, backbones)
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / "frozen.md").write_text("\n".join(table) + "\n")
            print(*table[-3:], sep="\n", flush=True)


if __name__ == "__main__":
    main()
