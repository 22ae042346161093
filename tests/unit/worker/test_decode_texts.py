"""Texts become token numbers by what the training rows alone teach."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from service.domain.specs import ModelRequest
from tests.unit.worker.canonical import canonical
from worker.data.canonical import Canonical
from worker.data.encoding import Encoder
from worker.models import build

PARAMS = {"vocabulary": 200, "length": 16}
TEXTS = [
    "Where is the river that flows past the old mill ?",
    "Who built the old mill by the river ?",
    "How many mills are there by the river ?",
    "When was the mill by the river built ?",
] * 3


def texts(path: Path, rows: list[str]) -> Canonical:
    return canonical(path / "data.parquet", "text", {"text": ("text", rows)})


def encoded(dataset: Canonical, train: Tensor | None = None, **params: int) -> tuple[Encoder, Tensor]:
    everything = torch.arange(len(dataset.labels))
    encoder = Encoder.fit(dataset, everything if train is None else train, {**PARAMS, **params})
    (found,) = encoder.encode(dataset, everything)
    return encoder, found


def test_the_same_text_gives_the_same_tokens_and_another_others(tmp_path: Path) -> None:
    _, found = encoded(texts(tmp_path, TEXTS))
    assert found.shape[0] == len(TEXTS)
    assert bool((found[:4] == found[4:8]).all())
    assert len({tuple(row) for row in found.tolist()}) == 4


def test_training_twice_gives_the_same_numbers(tmp_path: Path) -> None:
    dataset = texts(tmp_path, TEXTS)
    first, found = encoded(dataset)
    second, again = encoded(dataset)
    assert first.shape == second.shape
    assert bool((found == again).all())


def test_rows_outside_of_the_training_part_teach_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    train = torch.arange(len(TEXTS))
    _, found = encoded(texts(tmp_path / "a", [*TEXTS, "quixotic zebras jump"]), train)
    _, other = encoded(texts(tmp_path / "b", [*TEXTS, "wholly other words of another kind"]), train)
    assert bool((found[: len(TEXTS)] == other[: len(TEXTS)]).all())


@pytest.mark.parametrize("odd", ["", "   ", "☃☃☃", "x" * 50_000, "a\x00b", "中文没有空格"])
def test_no_text_is_without_a_token_or_longer_than_asked(tmp_path: Path, odd: str) -> None:
    encoder, found = encoded(texts(tmp_path, [*TEXTS, odd]), torch.arange(len(TEXTS)), length=8)
    assert encoder.shape.text is not None
    vocabulary, length = encoder.shape.text
    assert length <= 8
    assert found.shape == (len(TEXTS) + 1, length)
    assert int(found[-1, 0]) > 0
    assert int(found.min()) >= 0
    assert int(found.max()) < vocabulary <= PARAMS["vocabulary"]


@pytest.mark.parametrize("name", ["text_cnn", "text_transformer"])
def test_padding_changes_no_logit(name: str, tmp_path: Path) -> None:
    encoder, found = encoded(texts(tmp_path, [*TEXTS, "Who ?"]))
    model = build(ModelRequest(name=name), encoder.shape, 3, 0).eval()
    used = int((found[-1] != 0).sum())
    assert used < found.shape[1]
    with torch.inference_mode():
        torch.testing.assert_close(model(found[-1:]), model(found[-1:, :used]))
