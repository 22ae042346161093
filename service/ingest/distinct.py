"""The different texts of a column and how often each occurs, counted by Arrow as long as they are few."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from service.store import text_bytes

_MOST_CHARACTERS = 16 * 2**20
_MOST_HELD = 8 * 2**20  # bytes of texts that were not merged yet

Weights = npt.NDArray[np.int64]
_NOTHING = pa.nulls(0, pa.string()), np.empty(0, np.int64)


class DistinctTexts:
    """Texts with their weights in the order in which they were met first.

    `too_many` says that they are more than `most`, or very long together; nothing more is counted then.
    """

    def __init__(self, most: int) -> None:
        self.too_many = False
        self._most = most
        self._known: tuple[Any, Weights] = _NOTHING
        self._new: list[tuple[Any, Weights]] = []
        self._new_count = self._new_bytes = 0

    def add(self, texts: Any, weights: Weights) -> None:
        """Count different texts; null is left out."""
        if self.too_many:
            return
        if texts.null_count:
            valid = texts.is_valid()
            texts, weights = texts.filter(valid), weights[valid.to_numpy(zero_copy_only=False)]
        self._new.append((texts, weights))
        self._new_count, self._new_bytes = self._new_count + len(texts), self._new_bytes + texts.nbytes
        if self._new_count > self._most or self._new_bytes > _MOST_HELD:
            self._merge()

    def counts(self) -> tuple[Any, Weights]:
        """The texts so far, each once, and the weight of each."""
        self._merge()
        return self._known

    def forget(self) -> None:
        """Let go of texts that are too many."""
        self._known = _NOTHING

    def _merge(self) -> None:
        if not self._new:
            return
        parts = [self._known, *self._new]
        self._new, self._new_count, self._new_bytes = [], 0, 0
        codes = pa.concat_arrays([texts for texts, _ in parts]).dictionary_encode()
        texts, places = codes.dictionary, codes.indices.to_numpy()
        weights = np.zeros(len(texts), np.int64)
        np.add.at(weights, places, np.concatenate([weights for _, weights in parts]))
        self._known = texts, weights
        self.too_many = len(texts) > self._most or _characters(texts) > _MOST_CHARACTERS


def _characters(texts: Any) -> int:
    """The characters of all texts; their bytes, which are quicker known, where these are few enough."""
    count = int(text_bytes.parts(texts)[0][-1])
    return count if count <= _MOST_CHARACTERS else pc.sum(pc.utf8_length(texts)).as_py() or 0
