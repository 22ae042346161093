"""Words that are typical of the classes of a text dataset."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.domain.dataset import CanonicalHeader
from service.ingest import typical_words
from service.ingest.profile import read_profile

_CLASSES = ["sport", "money", "stage"]


def profile(
    folder: Path, texts: Sequence[str], labels: Sequence[int], classes: Sequence[str] = _CLASSES, group_rows: int = 64
) -> dict[str, Any]:
    """The profile of a text dataset."""
    header = CanonicalHeader(
        modality="text", classes=list(classes), features=[{"name": "text", "kind": "text", "column": "text"}]
    )
    schema = pa.schema([("label", pa.int32()), ("text", pa.string())], metadata=header.to_metadata())
    table = pa.table({"label": pa.array(labels, pa.int32()), "text": list(texts)}, schema=schema)
    pq.write_table(table, folder / "data.parquet", row_group_size=group_rows)
    return read_profile(folder / "data.parquet", folder / "profile.json")


def words(found: dict[str, Any]) -> dict[str, list[str]]:
    """Words by class."""
    return {one["label"]: [told["word"] for told in one["words"]] for one in found["typical_words"]}


def corpus(seed: int, planted: Sequence[str], rows: int = 600, among: int = 300) -> tuple[list[str], list[int]]:
    """Random texts; 30 % of those of each class hold the word that is planted there."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(_CLASSES), rows).tolist()
    texts = []
    for label in labels:
        drawn = [f"word{number}" for number in np.minimum(generator.zipf(1.3, 12), among)]
        if planted and generator.random() < 0.3:
            drawn.insert(int(generator.integers(0, 12)), planted[label])
        texts.append(" ".join(["The", *drawn]) + ".")
    return texts, labels


def test_the_planted_word_of_each_class_is_found_and_no_common_one(tmp_path: Path) -> None:
    texts, labels = corpus(0, ["Goal", "BANK", "actor"])
    found = profile(tmp_path, texts, labels)
    assert words(found) == {"sport": ["goal"], "money": ["bank"], "stage": ["actor"]}
    for told in found["typical_words"]:
        place = _CLASSES.index(told["label"])
        inside = [text.lower() for text, label in zip(texts, labels, strict=True) if label == place]
        (word,) = told["words"]
        holding = sum(word["word"] in text for text in inside)
        assert (told["texts"], word["texts"]) == (len(inside), holding)
        assert (word["share"], word["elsewhere"]) == (holding / len(inside), 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_where_labels_say_nothing_no_word_is_typical(tmp_path: Path, seed: int) -> None:
    texts, labels = corpus(seed, [], rows=3000, among=5000)
    assert words(profile(tmp_path, texts, labels)) == {name: [] for name in _CLASSES}


def test_a_word_that_is_only_a_little_more_frequent_is_not_typical_however_many_texts_say_so(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 30_000)
    texts = ["often here" if generator.random() < (0.5, 0.4, 0.4)[label] else "here" for label in labels]
    assert words(profile(tmp_path, texts, labels.tolist(), group_rows=2048)) == {name: [] for name in _CLASSES}


def test_one_text_that_repeats_a_word_makes_it_typical_of_nothing(tmp_path: Path) -> None:
    texts, labels = corpus(0, ["goal", "bank", "actor"])
    texts[0] += " again" * 200
    assert all("again" not in found for found in words(profile(tmp_path, texts, labels)).values())


@pytest.mark.parametrize("classes", [["one"], ["one", "none"]])
def test_a_dataset_of_one_class_has_no_typical_words(tmp_path: Path, classes: list[str]) -> None:
    assert profile(tmp_path, ["goal match team"] * 50, [0] * 50, classes)["typical_words"] == []


def test_words_are_whole_in_scripts_of_every_kind(tmp_path: Path) -> None:
    planted = ["तुम्हारे", "Größe", "футбол"]  # of Hindi, the vowel signs are marks, not letters
    found = words(profile(tmp_path, *corpus(1, planted)))
    assert found == {name: [word.lower()] for name, word in zip(_CLASSES, planted, strict=True)}


@pytest.mark.parametrize(
    "sentences",
    [
        ("我昨天看了一场精彩的足球比赛", "银行今天公布了季度利润", "这部电影的女演员很出色"),
        ("ฉันชอบดูฟุตบอล", "ธนาคารประกาศกำไร", "นักแสดงคนนี้เก่งมาก"),
        ("昨日サッカーの試合を見た", "銀行が利益を発表した", "この映画の女優はすばらしい"),
    ],
)
def test_texts_without_spaces_between_words_have_none_and_words_of_other_scripts_within_them_are_found(
    tmp_path: Path, sentences: tuple[str, ...]
) -> None:
    labels = [number % 3 for number in range(90)]
    assert words(profile(tmp_path, [sentences[label] for label in labels], labels)) == {name: [] for name in _CLASSES}
    (tmp_path / "profile.json").unlink()
    texts = [f"{sentences[label]}{('FIFA', 'USD', 'BBC')[label]}{sentences[label]}" for label in labels]
    assert words(profile(tmp_path, texts, labels)) == {"sport": ["fifa"], "money": ["usd"], "stage": ["bbc"]}


def test_what_is_counted_is_bounded_and_frequent_words_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[int] = []
    pruned = typical_words._pruned

    def watched(counts: pa.Table) -> pa.Table:
        left = pruned(counts)
        kept.append(len(left))
        return left

    monkeypatch.setattr(typical_words, "_MOST_COUNTS", 3_000)
    monkeypatch.setattr(typical_words, "_BATCH", 100)
    monkeypatch.setattr(typical_words, "_pruned", watched)
    texts, labels = corpus(0, ["goal", "bank", "actor"], rows=2000, among=10**9)
    texts = [f"{text} {' '.join(f'once{number}x{place}' for place in range(20))}" for number, text in enumerate(texts)]
    found = profile(tmp_path, texts, labels)
    assert words(found) == {"sport": ["goal"], "money": ["bank"], "stage": ["actor"]}
    assert len(kept) > 5
    assert max(kept) <= 3_000


def test_of_a_large_dataset_a_part_is_read_that_is_spread_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, labels = corpus(0, ["goal", "bank", "actor"], rows=6_000)
    monkeypatch.setattr("service.ingest.typical_words._READ_BYTES", sum(map(len, texts)) // 4)
    found = profile(tmp_path, texts, labels)
    assert 1_000 < sum(one["texts"] for one in found["typical_words"]) < 2_000
    assert words(found) == {"sport": ["goal"], "money": ["bank"], "stage": ["actor"]}


def test_the_words_of_a_class_are_100_at_most_the_most_telling_first(tmp_path: Path) -> None:
    labels = [number % 2 for number in range(600)]
    own = " ".join(f"own{number}" for number in range(150))
    texts = [f"{own} {'mostly' if number % 4 < 2 else ''}" if label else "other" for number, label in enumerate(labels)]
    found = words(profile(tmp_path, texts, labels, ["rest", "told"]))
    assert len(found["told"]) == 100
    assert "mostly" not in found["told"]


def test_a_profile_that_an_older_version_kept_gets_its_words(tmp_path: Path) -> None:
    texts, labels = corpus(0, ["goal", "bank", "actor"])
    found = profile(tmp_path, texts, labels)
    kept = tmp_path / "profile.json"
    kept.write_text(json.dumps({name: value for name, value in found.items() if name != "typical_words"}))
    assert words(read_profile(tmp_path / "data.parquet", kept)) == words(found)
    assert words(json.loads(kept.read_text())) == words(found)
