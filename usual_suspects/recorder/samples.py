"""The samples of a recording: their batches, labels and ids, and what of them each rank runs."""

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from usual_suspects.recorder.early_checks import check_header, check_ids, class_numbers
from usual_suspects.recorder.forward_pass import RunBatch, batches_of, labels_of, preserved_state, run_batch
from usual_suspects.recorder.ranks import InStep, Ranks
from usual_suspects.recorder.shares import BatchShare, first_digest, joined_ids, share_of

_FEWEST_CLASSES = 2

Names = dict[str, Sequence[Any] | None]


class Samples:
    """Training samples (prefix "") and reference samples ("reference_") of all ranks.

    Either all ranks give the same samples, of which each runs a share, or, as their ids tell, each gives its own. Of a sample that
    several ranks gave, that of the first of them counts. All ranks call all methods alike. `names`: class names and ids; on rank 0
    those of all ranks once `split` is done.
    """

    def __init__(self, given: Mapping[str, Any], names: Names, model: nn.Module, run: RunBatch, ranks: Ranks) -> None:
        self._model, self._run, self._ranks, self.names = model, run, ranks, dict(names)
        self._ids = {prefix: names[f"{prefix}ids"] for prefix in ("", "reference_")}  # of this rank
        self._data: dict[str, Iterable[Any]] = {}
        self.first: dict[str, Any] = {}  # batches
        ranks.together("reading the first samples", lambda: self._open(given))
        self._common = self._find_common()
        self.shares: dict[str, BatchShare] = {}
        self.labels: dict[
            str, Tensor
        ] = {}  # of this rank's share; with a `run` of the caller's known after the first epoch
        self.kept: dict[str, Sequence[npt.NDArray[np.bool_] | None]] = {}

    def split(self, classes: int) -> None:
        """Find the share of this rank and read its labels, numbers below `classes`. Raises ValueError for labels and ids."""
        self.first.clear()
        self.shares = self._ranks.together("dividing the samples", self._shares_of_rank)
        if self._run is run_batch:
            self.labels = self._ranks.together("reading the labels", lambda: self._read_labels(classes))
            own = torch.cat([*self.labels.values()]).bincount().nonzero().reshape(-1).tolist()
            if len(set().union(*self._ranks.gather(own, "reading the labels"))) < _FEWEST_CLASSES:
                raise ValueError("all labels are of one class; the service needs samples of at least 2 classes")

    def join_ids(self) -> None:
        """Check the ids and find which samples of each rank count. Raises ValueError for ids that do not fit."""
        self._check_ids()
        self.kept = {prefix: [None] * self._ranks.count for prefix in self._data}
        for prefix in self._data:
            if not self._common[prefix]:
                ids = self._ranks.gather(self._ids[prefix] or (), "joining the ids")
                self.names[f"{prefix}ids"], self.kept[prefix] = joined_ids(ids)
        self._ranks.together("joining the ids", lambda: check_header(self.names))

    def batches(self, prefix: str, *, sharded: bool) -> Iterable[Any] | InStep:
        """Batches of this rank; of a sharded model in step with the other ranks, see InStep."""
        own = self.shares[prefix].batches
        return InStep(own, lambda: next(iter(self._data[prefix])), self._ranks) if sharded else own

    def check_order(self, seen: Mapping[str, Tensor]) -> None:
        """Keep the labels of the first epoch, and refuse others at a later one."""
        late = {prefix: labels for prefix, labels in seen.items() if prefix not in self.labels}
        known = {prefix: labels for prefix, labels in seen.items() if prefix in self.labels}
        self._ranks.together("comparing the labels", lambda: self._compare(known))
        self.labels |= late
        if late:
            self._check_ids()

    def _open(self, given: Mapping[str, Any]) -> None:
        with preserved_state(self._model, given.values()):
            self._data = {
                prefix: batches_of(data, part(prefix), grouped=self._ranks.grouped) for prefix, data in given.items()
            }
        for prefix, batches in self._data.items():
            with preserved_state(self._model, [batches]):
                if self._ranks.count > 1:  # the same on all ranks, where samples are changed at random
                    torch.manual_seed(0)
                    random.seed(0)
                    np.random.seed(0)  # noqa: NPY002 - users' own draws
                found = list(islice(batches, 1))
            if not found:
                raise ValueError(f"{part(prefix)} has no samples")
            self.first[prefix] = found[0]

    def _find_common(self) -> dict[str, bool]:
        """Whether all ranks gave the same samples, for each part. Raises ValueError where they did not, and gave no ids."""
        self._ranks.agree({"reference=": "reference_" in self._data})
        common = {}
        for prefix, first in self._data_and_ids().items():
            marks = self._ranks.gather(first, "comparing the first samples")
            other = next((rank for rank, mark in enumerate(marks) if mark != marks[0]), None)
            common[prefix] = other is None
            if other is not None and any(kind != "ids" for kind, _ in marks):
                raise ValueError(
                    f"{part(prefix)}: rank {other} gave other samples than rank 0; give all ranks the same, which are divided "
                    f"among them, or give each rank its own with {prefix}ids=, which tell samples of all ranks apart"
                )
        return common

    def _data_and_ids(self) -> dict[str, tuple[str, str]]:
        """What tells the samples of one rank from those of another: ids, or else the first batch."""
        if self._ranks.count == 1:
            return dict.fromkeys(self._data, ("", ""))
        found = {}
        for prefix, first in self.first.items():
            ids = self._ids[prefix]
            digest = None if ids is None else hashlib.sha256("\0".join(map(str, ids)).encode("utf-8", "replace"))
            found[prefix] = ("first", first_digest(first)) if digest is None else ("ids", digest.hexdigest())
        return found

    def _shares_of_rank(self) -> dict[str, BatchShare]:
        shares = {}
        for prefix, batches in self._data.items():
            with preserved_state(self._model, [batches]):
                common = self._common[prefix]
                shares[prefix] = (
                    share_of(batches, self._ranks.rank, self._ranks.count) if common else BatchShare(batches)
                )
        return shares

    def _read_labels(self, classes: int) -> dict[str, Tensor]:
        labels = {}
        for prefix, share in self.shares.items():
            found = [torch.zeros(0, dtype=torch.int64)]
            start = share.start
            with preserved_state(self._model, [share.batches]):
                for batch in share.batches:
                    found.append(class_numbers(labels_of(batch), classes, f"{prefix}labels", start=start))
                    start += len(found[-1])
            labels[prefix] = torch.cat(found)
        return labels

    def _check_ids(self) -> None:
        own = {prefix: len(self.labels[prefix]) if prefix in self.labels else None for prefix in self._data}
        every = self._ranks.gather(own, "counting the samples")
        counts = {
            prefix: sum(one[prefix] or 0 for one in every) if self._common[prefix] and count is not None else count
            for prefix, count in own.items()
        }
        self._ranks.together("comparing the ids", lambda: check_ids(self._ids, counts))

    def _compare(self, seen: Mapping[str, Tensor]) -> None:
        if not all(torch.equal(self.labels[prefix], labels) for prefix, labels in seen.items()):
            raise ValueError("the labels are in another order than before; the samples must not be shuffled")


def part(prefix: str) -> str:
    """The argument that gives the samples of a prefix."""
    return prefix.rstrip("_") or "train"
