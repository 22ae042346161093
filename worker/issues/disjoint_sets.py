"""Sets of places that pairs of them join (union-find)."""

import numpy as np

from worker.issues.inputs import Rows


class DisjointSets:
    """Places 0 to `count` - 1, each a set of its own at first. Sets that share a place are one, whatever the order of the pairs."""

    def __init__(self, count: int) -> None:
        self._root = list(range(count))

    def first_of(self, place: int) -> int:
        """The first place of the set of a place."""
        root = self._root
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    def join(self, one: int, other: int) -> None:
        """Make one set of the sets of two places."""
        low, high = sorted((self.first_of(one), self.first_of(other)))
        self._root[high] = low

    def joined(self) -> list[Rows]:
        """Sets of two and more places, by their first place, each ascending."""
        sets: dict[int, list[int]] = {}
        for place in range(len(self._root)):
            first = self.first_of(place)
            if first != place:
                sets.setdefault(first, [first]).append(place)
        return [np.array(sets[first]) for first in sorted(sets)]
