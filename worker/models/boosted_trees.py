"""Boosted trees for tables (LightGBM, MIT), as a module: its buffers are the trees, and nothing of it has a gradient.

Trees are grown in blocks of ten rounds, each a LightGBM model of its own that begins where the blocks before it ended, so that
growing can go on from any block with the same bits. A round has one tree a class, or one tree where there are two classes.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from service.domain.errors import FieldError, Invalid
from service.domain.models.tabular import BoostedTreesParams
from worker.data.shape import InputShape
from worker.libraries.table_layers import without
from worker.machine.devices import CPU
from worker.models.tabular import OneHot

ROUNDS = 10  # of a block
Doubles = npt.NDArray[np.float64]


def lightgbm() -> Any:
    """The package, imported without scikit-learn and pandas, which it needs for forms that are not used here and take a second.

    Raises Invalid where the system has no OpenMP library.
    """
    try:
        with without("sklearn", "pandas"):
            import lightgbm as package
    except OSError as error:
        message = f"boosted_trees needs the system's OpenMP library: {error}. Install it on the worker's machine (Debian: libgomp1), or name another model."
        raise Invalid(message, errors=[FieldError(loc=["model", "name"], msg=message)]) from error
    return package


class BoostedTrees(nn.Module):
    """Trees on `(numeric [n, k], categorical [n, c])`; a number is missing where the column after it says so.

    `start`: raw scores before the first round, [w]: the logarithms of the class frequencies, or their difference for two classes.
    `texts`: the blocks as LightGBM writes them, one after the other, and `ends`: where each ends. `features`
    gives the flat rows that neighbours are searched in, [n, d].
    """

    start: Tensor
    texts: Tensor
    ends: Tensor

    def __init__(self, params: BoostedTreesParams, shape: InputShape, classes: int) -> None:
        super().__init__()
        self.params, self.classes, self.features = params, classes, OneHot(shape)
        self.width = 1 if classes == 2 else classes
        kept = [place for place in range(shape.numeric) if place not in shape.indicators]
        self._numbers, self._indicators = kept, {place - 1: place for place in shape.indicators}
        self.categorical = list(range(len(kept), len(kept) + len(shape.cardinalities)))
        self._read: list[Any] = []
        self.register_buffer("start", torch.zeros(self.width, dtype=torch.float64))
        self.register_buffer("texts", torch.zeros(0, dtype=torch.uint8))
        self.register_buffer("ends", torch.zeros(0, dtype=torch.int64))

    def matrix(self, numeric: Float[Tensor, "n k"], categorical: Int[Tensor, "n c"]) -> npt.NDArray[np.float32]:
        """What the trees read: numbers, NaN where they are missing, then codes of categories."""
        numbers = numeric[:, self._numbers].to(CPU, copy=True)
        for column, place in enumerate(self._numbers):
            if place in self._indicators:
                numbers[numeric[:, self._indicators[place]].to(CPU) > 0, column] = torch.nan
        return torch.cat([numbers, categorical.to(CPU).float()], 1).numpy()

    def begin(self, labels: Int[Tensor, " n"]) -> None:
        """Forget all blocks, and start from the class frequencies of these labels."""
        share = (labels.bincount(minlength=self.classes).double() / len(labels)).clamp(
            min=torch.finfo(torch.float32).tiny
        )
        log = share.log()
        self.start = (log[1:] - log[:1]) if self.classes == 2 else log
        self.texts, self.ends, self._read = self.texts[:0], self.ends[:0], []

    def add(self, block: Any) -> None:
        """Add a grown block."""
        text = np.frombuffer(block.model_to_string().encode(), dtype=np.uint8)
        self.texts = torch.cat([self.texts, torch.from_numpy(text.copy())])
        self.ends = torch.cat([self.ends, torch.tensor([len(self.texts)])])

    def blocks(self) -> list[Any]:
        """The blocks as LightGBM models."""
        if len(self._read) != len(self.ends):
            package, text, ends = lightgbm(), bytes(self.texts.cpu().numpy()), self.ends.tolist()
            parts = zip([0, *ends[:-1]], ends, strict=True)
            self._read = [package.Booster(model_str=text[start:end].decode()) for start, end in parts]
        return self._read

    def first_raw(self, samples: int) -> Doubles:
        """Raw scores [n, w] of n samples before the first round."""
        return np.tile(self.start.cpu().numpy(), (samples, 1))

    def raw(self, values: npt.NDArray[np.float32]) -> Doubles:
        """Raw scores [n, w] after all blocks, added up block by block."""
        scores = self.first_raw(len(values))
        for block in self.blocks():
            scores += block_scores(block, values, self.width)
        return scores

    def forward(self, numeric: Float[Tensor, "n k"], categorical: Int[Tensor, "n c"]) -> Float[Tensor, "n o"]:
        """Logits."""
        return logits_of(torch.from_numpy(self.raw(self.matrix(numeric, categorical)))).float().to(numeric.device)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *_arguments: Any) -> None:
        # The base class refuses buffers of another length.
        for name in ("start", "texts", "ends"):
            setattr(self, name, state_dict[prefix + name].clone())
        self._read = []


def block_scores(block: Any, values: npt.NDArray[np.float32], width: int) -> Doubles:
    """What a block adds to raw scores, [n, w]."""
    found: Doubles = block.predict(values, raw_score=True, num_threads=torch.get_num_threads())
    return found.reshape(len(values), width)


def logits_of(raw: Float[Tensor, "n w"]) -> Float[Tensor, "n c"]:
    """Logits of raw scores: of two classes half the score and its negative, whose softmax is the sigmoid of the score."""
    return torch.cat([-raw / 2, raw / 2], 1) if raw.shape[1] == 1 else raw


def boosted_trees(params: BoostedTreesParams, shape: InputShape, classes: int) -> nn.Module:
    """No tree yet."""
    return BoostedTrees(params, shape, classes)


BUILDERS = {"boosted_trees": boosted_trees}
