"""Jobs on pretrained backbones through a running service: accuracy, and what the second job saves.

    suspects up                                             # with SUSPECTS_MODELS at the folder of the ResNet-20 arrays
    python -m benchmarks.pretrained [--api http://127.0.0.1:8000] [--rows 3000]

Each set is uploaded with 10 % uniform mislabels planted, and run twice, with two seeds; the second job finds what the
frozen part gave. Seconds are from the job's start to the end of its first epoch. Below, real weak labels: Yoruba
headlines, average precision of `mislabeled` on a frozen MiniLM beside cleanlab's self-confidence on probabilities of five
folds of a logistic regression on the same embeddings. Writes results/pretrained.md.
"""

import argparse
import csv
import gzip
import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from cleanlab.rank import get_label_quality_scores
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.model_selection import cross_val_predict

from benchmarks.data import DATA, cifar, load
from service.domain.resolve import resolve
from service.domain.specs import JobOptions, ModelRequest
from worker.backbones import BackboneContext, FeatureCache
from worker.job.preparation import prepare

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("set", "model", "first job s", "second job s", "ratio", "train accuracy", "AP of mislabeled")


def fashion(rows: int) -> tuple[str, bytes]:
    """Arrays of grey images."""
    arrays, made = np.load(DATA / "images" / "fmnist.npz"), io.BytesIO()
    np.savez(made, x=arrays["x_train"][:rows], y=arrays["y_train"][:rows])
    return "fmnist.npz", made.getvalue()


def trec(_rows: int) -> tuple[str, bytes]:
    """Questions."""
    return "trec.csv.gz", (DATA / "text" / "trec_questions.csv.gz").read_bytes()


SETS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "CIFAR-10 JPEG, EfficientNet-Lite0 frozen, linear": (cifar, "pretrained_image", {"image_size": 128}),
    "Fashion-MNIST, ResNet-20 of CIFAR-10, last block": (
        fashion,
        "pretrained_image",
        {"backbone": "resnet20_cifar10.npz", "trainable_blocks": 1},
    ),
    "TREC, MiniLM frozen, MLP": (trec, "pretrained_text", {"head": "mlp"}),
}


def run(client: httpx.Client, upload: tuple[str, bytes], spec: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """A job to its end, and the seconds to the end of its first epoch."""
    job = client.post("/jobs", files={"file": upload}, data={"spec": json.dumps(spec)}).raise_for_status().json()
    began, first = None, None
    while True:
        seen = client.get(f"/jobs/{job['id']}").json()
        began = time.perf_counter() if began is None and seen["state"] != "queued" else began
        if first is None and (
            seen["state"] in ("scoring", "completed") or "epoch 2" in str(seen["progress"]["detail"])
        ):
            first = time.perf_counter()
        if seen["state"] in ("failed", "cancelled"):
            raise RuntimeError(seen["error"])
        if seen["state"] == "completed" and began is not None and first is not None:
            return seen, first - began
        time.sleep(0.02)


def line(client: httpx.Client, name: str, rows: int) -> str:
    """One set, twice."""
    make, model, params = SETS[name]
    upload, found = make(rows), []
    for seed in (0, 1):
        spec = {
            "dataset": {"label": "target"} if model == "pretrained_text" else {},
            "model": {"name": model, "params": params},
            "training": {"seed": seed},
            "glitches": [{"kind": "mislabeled_uniform", "rate": 0.1}],
        }
        found.append(run(client, upload, spec))
    (job, before), (_, after) = found
    signals = client.get(f"/jobs/{job['id']}/signals").json()["items"]
    precision = next(one["detection"]["average_precision"] for one in signals if one["name"] == "mislabeled")
    accuracy = job["result"]["model"]["train_accuracy"]
    cells = [
        name,
        model,
        f"{before:.1f}",
        f"{after:.2f}",
        f"{before / after:.0f}",
        f"{accuracy:.3f}",
        f"{precision:.3f}",
    ]
    return "| " + " | ".join(cells) + " |"


def weak_labels(client: httpx.Client) -> str:
    """Yoruba headlines, whose labels are wrong by nature."""
    source = DATA / "text" / "yoruba_news_weak.csv.gz"
    with gzip.open(source, "rt") as file:
        rows = list(csv.DictReader(file))
    wrong = np.array([row["noisy_label"] != row["clean_label"] for row in rows])
    spec = {"dataset": {"label": "noisy_label", "features": ["text"]}, "model": {"name": "pretrained_text"}}
    job, _ = run(client, (source.name, source.read_bytes()), spec)
    answer = client.get(f"/jobs/{job['id']}/suspects", params={"format": "csv"}).text
    ours = {int(row["index"]): float(row["mislabeled"]) for row in csv.DictReader(io.StringIO(answer))}
    info, dataset = load("yoruba")
    options = JobOptions(model=ModelRequest(name="pretrained_text"))
    with tempfile.TemporaryDirectory() as name:
        backbones = BackboneContext(
            Path(name) / "models", Path(name) / "networks", FeatureCache(Path(name) / "features", 10**9), Path(name)
        )
        frozen = prepare(resolve(options, info), dataset, None, backbones=backbones).frozen
    assert frozen is not None
    labels = dataset.labels.numpy()
    probabilities = cross_val_predict(
        LogisticRegression(max_iter=1000), frozen.numpy(), labels, cv=5, method="predict_proba"
    )
    theirs = -get_label_quality_scores(labels, probabilities)
    ranked_rows = dataset.index.tolist()
    pair = [
        average_precision_score(wrong[ranked_rows], scores)
        for scores in ([ours[place] for place in ranked_rows], theirs)
    ]
    return (
        f"Yoruba weak labels ({wrong.mean():.0%} of {len(ranked_rows)} wrong), average precision: "
        f"`mislabeled` {pair[0]:.3f}, 5-fold cleanlab {pair[1]:.3f}"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--api", default="http://127.0.0.1:8000")
    parser.add_argument("--rows", type=int, default=3_000)
    arguments = parser.parse_args()
    lines = [
        f"# Pretrained backbones through the API, {arguments.rows} images, all questions; 10 % planted mislabels",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
    ]
    with httpx.Client(base_url=arguments.api, trust_env=False, timeout=60) as client:
        for name in SETS:
            lines.append(line(client, name, arguments.rows))
            print(lines[-1], flush=True)
        lines += ["", weak_labels(client)]
        print(lines[-1])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "pretrained.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
