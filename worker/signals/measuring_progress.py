"""How much of all measurements is done, from the shares of their parts."""

from collections.abc import Sequence

from worker.influence.row_computations import OnShare
from worker.signals.class_computation import influence_label


class MeasuringProgress:
    """The share of all measurements that is done. Shares of the parts were measured on large jobs, and are rough."""

    def __init__(
        self, on_progress: OnShare, compared: Sequence[str], checkpoints: int, *, is_training_set: bool
    ) -> None:
        self._on_progress = on_progress
        if is_training_set:
            self._parts = {"checkpoints": 0.3, "pairs": 0.1, "rest": 0.2, "errors": 0.1, "guess": 0.1, "isolation": 0.1}
            self._parts |= dict.fromkeys(map(influence_label, range(checkpoints)), 0.2 / checkpoints)
        else:
            self._parts = {"checkpoints": 0.1, "pairs": 0.5, "rest": 0.1}
        self._parts |= dict.fromkeys(compared, 0.3 / max(len(compared), 1))
        self._done = dict.fromkeys(self._parts, 0.0)

    def of(self, part: str) -> OnShare:
        """Progress of one part."""
        return lambda share: self.add(part, share)

    def add(self, part: str, share: float) -> None:
        """Note which share of a part is done."""
        if part not in self._parts:
            return
        self._done[part] = share
        total = sum(self._parts.values())
        self._on_progress(sum(weight / total * self._done[name] for name, weight in self._parts.items()))
