"""Words typical of each class of a text dataset, counted once from the canonical file.

A word is typical of a class where the odds that a text holds it are much higher in the class than in the rest of the dataset.
The measure is the log-odds ratio with an informative Dirichlet prior, over its standard error (Monroe, Colaresi and Quinn,
"Fightin' Words", Political Analysis 16:4, 2008). Texts that hold the word are counted, not its occurrences, so that one text
which repeats a word makes it typical of nothing.

pyarrow counts: the service does without scikit-learn, of which the pattern of words cuts those of Hindi or Tamil at their vowel
signs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MOST_WORDS = 100  # of a class
_LEAST_TEXTS = 5  # of a class that hold a word
_FALSE = 0.05  # share of the words found that may be there by chance
_LEAST_LOG_ODDS = np.log(2)  # a word that is hardly more frequent speaks for nothing, however sure that is
_PRIOR_TEXTS = 10.0  # texts as the whole dataset has them, added to either side
_READ_CHARACTERS = 2_000  # of each text
_READ_BYTES = 32 * 2**20  # of all texts: more would not be surer, only slower
_BATCH = 5_000  # texts
_MOST_COUNTS = 400_000  # of (word, class) that are kept
_LENGTHS = (2, 40)  # letters
# Anything between words: no letter, mark or digit. Scripts that write words without spaces cannot be split, so that they count as
# what is between words too. The page splits alike (service/web/src/words/typical.ts). One class is many times as fast as two.
_BETWEEN = r"[\p{Z}\p{P}\p{S}\p{C}\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}\x{3000}-\x{30FF}]+"
Array = npt.NDArray[Any]


def typical_words(
    file: pq.ParquetFile, groups: Sequence[int], classes: Sequence[str], shown: Sequence[int]
) -> list[dict[str, Any]]:
    """The typical words of each class of `shown`, the most telling first, at most 100 each.

    Of the row groups `groups` so many are read, at equal distances, that their texts have 32 MiB at most. A dataset without
    texts, or with fewer than two classes, has none. Memory: one batch of texts, and 400,000 counts.
    """
    if "text" not in file.schema_arrow.names:
        return []
    counts, class_texts = _counted(file, _affordable(file, groups), len(classes))
    if np.count_nonzero(class_texts) < 2:
        return []
    words, held, tested = _by_class(counts, len(classes))
    return [
        {"label": classes[k], "texts": int(class_texts[k]), "words": _typical(words, held, class_texts, k, tested)}
        for k in shown
        if class_texts[k]
    ]


def _affordable(file: pq.ParquetFile, groups: Sequence[int]) -> list[int]:
    text = file.schema_arrow.names.index("text")
    size = 0
    for place in groups:
        group = file.metadata.row_group(place)
        size += min(group.column(text).total_uncompressed_size, group.num_rows * _READ_CHARACTERS)
    return list(groups[:: max(1, -(-size // _READ_BYTES))])


def _counted(file: pq.ParquetFile, groups: Sequence[int], classes: int) -> tuple[pa.Table, Array]:
    """How many texts of each class hold each word, as `word`, `label`, `texts`; and how many texts each class has.

    Lossy counting (Manku and Motwani, VLDB 2002): where there are too many counts, the rarest are given up.
    """
    kept, waiting = _merged([]), list[pa.Table]()
    class_texts = np.zeros(classes, np.int64)
    for batch in file.iter_batches(_BATCH, row_groups=list(groups), columns=["label", "text"]):
        class_texts += np.bincount(batch.column("label").to_numpy(zero_copy_only=False), minlength=classes)
        waiting.append(_counts(batch))
        if sum(map(len, waiting)) > _MOST_COUNTS:
            kept, waiting = _pruned(_merged([kept, *waiting])), []
    return _merged([kept, *waiting]), class_texts


def _counts(batch: pa.RecordBatch) -> pa.Table:
    labels = batch.column("label").to_numpy(zero_copy_only=False)
    lower = pc.utf8_lower(pc.utf8_slice_codeunits(batch.column("text"), 0, _READ_CHARACTERS))
    split = pc.split_pattern_regex(lower, pattern=_BETWEEN)
    flat, parents = pc.list_flatten(split), pc.list_parent_indices(split).to_numpy()
    lengths = pc.utf8_length(flat).to_numpy(zero_copy_only=False)
    fitting = (lengths >= _LENGTHS[0]) & (lengths <= _LENGTHS[1])
    encoded = flat.filter(pa.array(fitting)).dictionary_encode()
    codes, parents = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), parents[fitting]
    size = max(len(encoded.dictionary), 1)
    once = np.unique(parents * size + codes)  # a word counts once in a text
    pairs, texts = np.unique(labels[once // size].astype(np.int64) * size + once % size, return_counts=True)
    return pa.table(
        {
            "word": encoded.dictionary.take(pa.array(pairs % size)),
            "label": pa.array(pairs // size, pa.int32()),
            "texts": pa.array(texts, pa.int64()),
        }
    )


def _merged(tables: Sequence[pa.Table]) -> pa.Table:
    schema = pa.schema({"word": pa.string(), "label": pa.int32(), "texts": pa.int64()})
    every = pa.concat_tables([schema.empty_table(), *(one.cast(schema) for one in tables)])
    summed = every.group_by(["word", "label"], use_threads=False).aggregate([("texts", "sum")])
    return summed.select(["word", "label", "texts_sum"]).rename_columns(["word", "label", "texts"])


def _pruned(counts: pa.Table) -> pa.Table:
    """The counts of the words that most texts hold, as many as are kept at most. All classes of a word go or stay together."""
    codes = counts.column("word").combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    texts = np.bincount(codes, counts.column("texts").to_numpy())[codes]
    least = 1
    while np.count_nonzero(texts >= least) > _MOST_COUNTS:
        least += 1
    return counts.filter(pa.array(texts >= least))


def _by_class(counts: pa.Table, classes: int) -> tuple[list[str], Array, int]:
    """Words that enough texts of a class hold, the number of those texts as words x classes, and how many words enough texts hold."""
    encoded = counts.column("word").combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    labels, texts = counts.column("label").to_numpy(), counts.column("texts").to_numpy()
    # Words that are rare in every class are left out first, so that the table stays small.
    frequent = np.zeros(len(encoded.dictionary), bool)
    frequent[codes[texts >= _LEAST_TEXTS]] = True
    place = np.cumsum(frequent) - 1
    held = np.zeros((int(frequent.sum()), classes), np.int64)
    inside = frequent[codes]
    held[place[codes[inside]], labels[inside]] = texts[inside]
    tested = int(np.count_nonzero(np.bincount(codes, texts) >= _LEAST_TEXTS))
    return encoded.dictionary.filter(pa.array(frequent)).to_pylist(), held, tested


def _typical(words: Sequence[str], held: Array, class_texts: Array, k: int, tested: int) -> list[dict[str, Any]]:
    inside, outside = held[:, k], held.sum(1) - held[:, k]
    texts, others = int(class_texts[k]), int(class_texts.sum() - class_texts[k])
    log_odds, error = _log_odds_ratio(inside, texts, outside, others)
    score = log_odds / error
    likely = np.flatnonzero(inside >= _LEAST_TEXTS)
    chances = _chances(inside[likely], (inside + outside)[likely], texts / (texts + others))
    sure = likely[_sure(chances, tested)]
    telling = sure[log_odds[sure] >= _LEAST_LOG_ODDS].tolist()
    first = sorted(telling, key=lambda place: (-score[place], words[place]))[:MOST_WORDS]
    return [
        {
            "word": words[place],
            "texts": int(inside[place]),
            "share": int(inside[place]) / texts,
            "elsewhere": int(outside[place]) / others,
        }
        for place in first
    ]


def _chances(inside: Array, held: Array, usual: float) -> Array:
    """How likely at most it is that of `held` texts so many are of the class by chance (Chernoff's bound, exact enough for few)."""
    share = inside / held
    with np.errstate(divide="ignore", invalid="ignore"):
        elsewhere = np.where(share < 1, (1 - share) * np.log((1 - share) / (1 - usual)), 0.0)
    divergence = share * np.log(share / usual) + elsewhere
    return np.where(share > usual, np.exp(-held * divergence), 1.0)


def _sure(chances: Array, tested: int) -> npt.NDArray[np.bool_]:
    """Which are not there by chance: of many words some stand out (Benjamini and Hochberg, 1995)."""
    ascending = np.sort(chances)
    passed = np.flatnonzero(ascending <= _FALSE * np.arange(1, len(chances) + 1) / tested)
    limit = ascending[passed[-1]] if len(passed) else -1.0
    found: npt.NDArray[np.bool_] = chances <= limit
    return found


def _log_odds_ratio(inside: Array, texts: int, outside: Array, others: int) -> tuple[Array, Array]:
    """The log-odds ratio of texts that hold a word in a class and elsewhere, and its standard error (Monroe et al., 3.4.1)."""
    usual = (inside + outside) / (texts + others)
    with_in, with_out = inside + _PRIOR_TEXTS * usual, outside + _PRIOR_TEXTS * usual
    without_in = texts - inside + _PRIOR_TEXTS * (1 - usual)
    without_out = others - outside + _PRIOR_TEXTS * (1 - usual)
    # A word that every text holds has no odds; it is typical of nothing.
    with np.errstate(divide="ignore", invalid="ignore"):
        log_odds = np.log(with_in / without_in) - np.log(with_out / without_out)
        error = np.sqrt(1 / with_in + 1 / without_in + 1 / with_out + 1 / without_out)
    every = usual >= 1
    return np.where(every, 0.0, log_odds), np.where(every, 1.0, error)
