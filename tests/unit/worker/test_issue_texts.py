"""Texts that are nearly the same, damaged, or unlike the others: what is planted is found, and nothing in ordinary texts."""

from collections.abc import Sequence
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.worker.canonical import canonical
from worker.data.glitches import PlantedData, plant
from worker.issues.find import find_issues
from worker.issues.near_texts import JACCARD, jaccard, near_sets, runs_of
from worker.issues.texts import is_damaged

WORDS = [f"{first}{second}" for first in ("ka", "lo", "mi", "te", "ru") for second in ("na", "ve", "sto", "di", "plu")]


def drawn(seed: int, count: int = 200, length: int = 40) -> list[str]:
    """Texts of words that are drawn alike, as those of one topic are."""
    draws = np.random.default_rng(seed)
    return [" ".join(draws.choice(WORDS, draws.integers(length // 2, length * 2))) for _ in range(count)]


def found(path: Path, texts: Sequence[str], planted: PlantedData | None = None) -> dict[str, dict[str, Any]]:
    dataset = canonical(path / "d", "text", {"text": ("text", list(texts))})
    rows = torch.arange(len(texts))
    if planted is None:
        planted = plant((), dataset.labels, 3, [])
    answer = find_issues(dataset, rows, planted, reference_rows=rows[:0], seed=0)
    return {one["type"]: one for one in answer["items"]}


def slow_sets(texts: Sequence[str]) -> list[tuple[int, ...]]:
    """Every text compared with every one before it, and sets that share a text joined."""
    runs = [np.unique(one) for block, counts in runs_of(texts) for one in np.split(block, np.cumsum(counts)[:-1])]
    sets = [{place} for place in range(len(texts))]
    for place in range(len(texts)):
        for other in range(place):
            if jaccard(runs[other], runs[place]) >= JACCARD and sets[other] is not sets[place]:
                joined = sets[other] | sets[place]
                for member in joined:
                    sets[member] = joined
    return sorted({tuple(sorted(one)) for one in sets if len(one) > 1})


@pytest.mark.parametrize("seed", range(3))
def test_sets_are_those_of_a_comparison_of_every_pair(seed: int) -> None:
    draws, texts = np.random.default_rng(seed), drawn(seed, 120, 80)
    for place in range(0, 60, 2):
        words = texts[place].split()
        words[-1] = "other"
        texts[place + 60] = " ".join(words) if draws.random() < 0.7 else texts[place].upper().replace(" ", ",\n")
    near = near_sets(len(texts), lambda places: (texts[place] for place in places))
    assert near
    assert [tuple(one.tolist()) for one in near] == slow_sets(texts)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_chain_of_near_texts_is_one_set_in_every_order(order: Sequence[int]) -> None:
    words = [f"w{number}" for number in range(100)]
    chain = [" ".join(words)]
    for place in (10, 40, 70):
        words[place] = "other"
        chain.append(" ".join(words))
    texts = [chain[number] for number in order]
    assert len(slow_sets([chain[0], chain[1]])) == 1
    assert not slow_sets([chain[0], chain[2]])
    near = near_sets(len(texts), lambda places: (texts[place] for place in places))
    assert [one.tolist() for one in near] == [[0, 1, 2, 3]]


def test_sets_of_many_texts_do_not_depend_on_their_order() -> None:
    draws = np.random.default_rng(0)
    texts = []
    for _ in range(60):
        words = [f"w{number}" for number in range(100)]
        words[draws.integers(100)] = f"x{draws.integers(100)}"
        texts.append(" ".join(words))
    found_sets = set()
    for _ in range(3):
        order = draws.permutation(len(texts))
        shuffled = [texts[place] for place in order]
        near = near_sets(len(texts), partial(map, shuffled.__getitem__))
        found_sets.add(frozenset(frozenset(order[one].tolist()) for one in near))
    assert len(found_sets) == 1


def test_case_punctuation_and_spaces_make_no_difference_and_one_word_of_a_short_text_does(tmp_path: Path) -> None:
    texts = ["Who was it?", "who was it", "Who  was it ?", "Who is it?", "it", "It!", "at", "…", "—"]
    answer = found(tmp_path, texts)["near_duplicates"]
    assert [(one["index"], one["group"]) for one in answer["samples"]] == [(0, 0), (1, 0), (2, 0), (4, 1), (5, 1)]
    assert (answer["flagged"], answer["score"]) == (5, 3 / len(texts))


def test_exact_copies_are_not_near_ones_and_count_once(tmp_path: Path) -> None:
    answer = found(tmp_path, ["one two three four", "other words", "one two three four", "One two three four"])
    near, same = answer["near_duplicates"], answer["contradicting_duplicates"]
    assert [one["index"] for one in near["samples"]] == [0, 3]
    assert (near["flagged"], near["score"]) == (2, 1 / 4)
    assert [one["index"] for one in same["samples"]] == [0, 2]
    assert (same["flagged"], same["score"]) == (2, 2 / 4)
    assert not answer["exact_duplicates"]["found"]


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_found_in_ordinary_texts(tmp_path: Path, seed: int) -> None:
    answer = found(tmp_path, [f"{text}. Café déjà vu, naïve “quoted” …" for text in drawn(seed)])
    for name in ("near_duplicates", "text"):
        assert (answer[name]["found"], answer[name]["score"], answer[name]["samples"]) == (False, 0, [])


def test_each_kind_of_fault_is_found_and_named(tmp_path: Path) -> None:
    faults = {
        "": "empty",
        " …!": "empty",
        "a caf\ufffd there": "damaged characters",
        "it was dÃ©jÃ\u00a0 vu": "damaged characters",
        "it\x00was": "damaged characters",
        "<p>kana <br/>love</p>": "markup",
        "kana &amp; love &#39;s": "markup",
        "привет как дела": "another script",
        "こんにちは世界": "another script",
        "ka": "very short",
        " ".join(WORDS * 60): "very long",
    }
    texts = [*drawn(0, length=8), *faults]
    answer = found(tmp_path, texts)["text"]
    assert {texts[one["index"]]: one["detail"] for one in answer["samples"]} == faults
    assert (answer["flagged"], answer["score"]) == (len(faults), len(faults) / len(texts))


def test_what_many_texts_have_is_no_exception(tmp_path: Path) -> None:
    texts = [f"<p>{text}</p>" if place % 2 == 0 else text for place, text in enumerate(drawn(0))]
    texts[1::2] = ["Привет, как дела? Что нового на работе?" for _ in texts[1::2]]
    assert not found(tmp_path, texts)["text"]["found"]


@pytest.mark.parametrize(
    "text",
    [
        "CAFÉ… « CAFÉ\u00a0»",
        "IRMÃ",
        "NÃO",
        "Ünïcödé “É”",
        "x < y & z",
        "10 < 20 > 5",
        "naïve\tcafé\r\n",
        "Ọmọ Nàìjíríà",
    ],
)
def test_characters_that_writers_mean_are_no_damage(text: str) -> None:
    assert not is_damaged(text)


@pytest.mark.parametrize("text", ["déjà", "“quoted”", "naïve… yes", "Übergröße", "привет", "日本語", "😀", "Łódź"])
def test_utf8_that_was_read_as_windows_1252_is_damage(text: str) -> None:
    misread = "".join(
        bytes([one]).decode("latin-1" if one in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else "cp1252") for one in text.encode()
    )
    assert misread != text
    assert is_damaged(misread)


def test_texts_that_were_planted_are_not_looked_at(tmp_path: Path) -> None:
    texts = [*drawn(0, 60), "", "Ka lo mi te ru", "ka lo mi te ru"]
    kinds = (*[None] * 60, "anomalous_extreme", "anomalous_extreme", None)
    tokens = torch.arange(63)[:, None]
    planted = PlantedData((tokens,), torch.arange(63) % 3, torch.tensor([kind is not None for kind in kinds]), kinds)
    answer = found(tmp_path, texts, planted)
    assert not answer["text"]["found"]
    assert not answer["near_duplicates"]["found"]
