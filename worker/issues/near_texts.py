"""Texts that are nearly the same: at least nine tenths of their runs of three words are.

Words are compared without case and punctuation. The Jaccard index of the sets of runs is computed for pairs that MinHash (Broder 1997) brings together in
one of six bands of four minima: of pairs with an index of .9 it misses one in 600. Of texts that share a band with many, each is compared with those whose other
bands are most like its own. A text of fewer than three words is one run. Each text of a set is nearly the same as another one of it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.store import fingerprints
from service.store.fingerprints import Hashes
from worker.issues.disjoint_sets import DisjointSets
from worker.issues.inputs import Rows
from worker.issues.repeats import same_sets

JACCARD = 0.9
_WORD = re.compile(r"\w+")
_RUN, _WORDS = 3, 1_000  # words of a run, and words of a text that are compared
_BANDS, _MINIMA = 6, 4
_MULTIPLIERS = fingerprints.mixed(np.arange(1, _BANDS * _MINIMA + 1, dtype=np.uint64)) | np.uint64(1)
_BLOCK = 1_024  # texts
# Texts of a band that each is compared with. Many share a band where they have little beside a few common words.
_COMPARED = 16

Reading = Callable[[Rows], Iterable[str]]


def near_sets(count: int, read: Reading) -> list[Rows]:
    """Sets of places, 0 to `count` - 1, of texts that are nearly the same, by their first place; `read` gives the texts of ascending places.

    What may be alike is read twice, and held with 8 bytes a word.
    """
    bands = np.concatenate(
        [np.empty((0, _BANDS), np.uint64), *(_band_keys(*one) for one in runs_of(read(np.arange(count))))]
    )
    groups = [(band, group) for band in range(_BANDS) for group in _alike(bands[:, band])]
    wanted = np.unique(np.concatenate([np.empty(0, np.int64), *(group for _, group in groups)]))
    texts = (part for runs, counts in runs_of(read(wanted)) for part in np.split(runs, np.cumsum(counts)[:-1]))
    known = dict(zip(wanted.tolist(), map(np.unique, texts), strict=True))
    sets = DisjointSets(count)
    contents = np.zeros(count, np.uint64)
    contents[wanted] = [fingerprints.mixed(runs).sum() for runs in known.values()]
    for same in same_sets(contents[wanted]):
        for place in wanted[same[1:]].tolist():
            sets.join(int(wanted[same[0]]), place)
    for band, group in groups:
        _, first = np.unique(contents[group], return_index=True)
        different = group[first]
        # By the other bands, not by place: the sets do not depend on the order of the texts.
        ordered = different[np.lexsort(np.roll(bands[different], -band, axis=1).T)]
        _join(ordered.tolist(), known, sets)
    return sets.joined()


def runs_of(texts: Iterable[str]) -> Iterator[tuple[Hashes, Rows]]:
    """Of each block of texts the fingerprints of their runs of words, text after text, and how many each text has: none without words."""
    remaining = iter(texts)
    while block := list(islice(remaining, _BLOCK)):
        words = [_words(text) for text in block]
        hashes = fingerprints.of_texts(pa.array([word for text in words for word in text], pa.string()))
        lengths = np.array([len(text) for text in words])
        runs = hashes.copy()
        for step in range(1, _RUN):
            runs[:-step] = fingerprints.mixed(runs[:-step] * np.uint64(31) + hashes[step:])
        # Words from here to the end of the text.
        behind = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(hashes))
        yield runs[behind >= _RUN], np.maximum(lengths - _RUN + 1, 0)


def _words(text: str) -> list[str]:
    found = _WORD.findall(text.casefold())[:_WORDS]
    return found + [""] * (_RUN - len(found)) if 0 < len(found) < _RUN else found


def jaccard(left: Hashes, right: Hashes) -> float:
    """Share of what two sets have in common of what is in either, 0 to 1."""
    both = len(np.intersect1d(left, right, assume_unique=True))
    return both / max(len(left) + len(right) - both, 1)


def _band_keys(runs: Hashes, counts: Rows) -> npt.NDArray[np.uint64]:
    """Of each text the keys by which it is compared with those that have one of them too; 0 for a text without words."""
    keys = np.zeros((len(counts), _BANDS), np.uint64)
    filled = np.flatnonzero(counts)
    if len(filled):
        starts = (np.cumsum(counts) - counts)[filled]
        for place, multiplier in enumerate(_MULTIPLIERS):
            minima = np.minimum.reduceat(runs * multiplier, starts)
            band = place % _BANDS
            keys[filled, band] = fingerprints.mixed(keys[filled, band] * np.uint64(31) + minima) | np.uint64(1)
    return keys


def _alike(keys: Hashes) -> list[Rows]:
    """Sets of places with the same key."""
    return [one for one in same_sets(keys) if keys[one[0]]]


def _join(group: Sequence[int], runs: Mapping[int, Hashes], sets: DisjointSets) -> None:
    """Join the sets of texts that are alike, of which each is compared with those shortly before it."""
    for number, place in enumerate(group):
        for other in group[max(0, number - _COMPARED) : number]:
            if sets.first_of(other) != sets.first_of(place) and jaccard(runs[other], runs[place]) >= JACCARD:
                sets.join(other, place)
