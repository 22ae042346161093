"""Texts as a pretrained encoder reads them.

Tokens are kept without those that mark beginning and end, each number one up, so that 0 is no token, as everywhere; the
network's stem puts the marks around them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer
from torch import Tensor, nn

from worker.backbones.sources import Source
from worker.data.decode import Canonical
from worker.data.texts import usual_length

_TOGETHER = 64  # texts in one pass
_POSITIONS = 512  # where the configuration does not say
_SPARE = 2  # positions that some families leave unused


@dataclass(frozen=True)
class Words:
    """A tokenizer that gives plain tokens, `length` at most, and the marks that go around them."""

    tokenizer: Tokenizer
    before: tuple[int, ...]
    after: tuple[int, ...]
    padding: int
    length: int

    column = "text"

    @classmethod
    def open(cls, source: Source, length: int) -> "Words":
        """Of a network's folder; `length` counts the marks, and is less where the network has fewer positions."""
        config = json.loads((source.folder / "config.json").read_text())
        tokenizer = _tokenizer(source)
        tokenizer.no_padding()
        tokenizer.no_truncation()
        dressed = tokenizer.encode("a")
        marks = [
            place
            for place, (number, mark) in enumerate(zip(dressed.ids, dressed.special_tokens_mask, strict=True))
            if not mark and number >= 0
        ]
        before, after = dressed.ids[: marks[0]], dressed.ids[marks[-1] + 1 :]
        positions = int(config.get("max_position_embeddings", _POSITIONS)) - _SPARE
        room = max(1, min(length, positions) - len(before) - len(after))
        return cls(tokenizer, tuple(before), tuple(after), int(config.get("pad_token_id") or 0), room)

    def usual(self, dataset: Canonical) -> "Words":
        """The same, for texts that all have to be of one length: that of nearly all texts of this dataset."""
        rows = torch.arange(len(dataset.labels))
        shorter = usual_length(self.tokenizer, dataset.texts(rows), self.length)
        return Words(self.tokenizer, self.before, self.after, self.padding, shorter)

    def chunks(self, dataset: Canonical, rows: Int[Tensor, " k"]) -> Iterator[Int[Tensor, "b l"]]:
        """Tokens of the named rows, which ascend, in parts."""
        for batch in dataset.batches([self.column], rows):
            texts = (value.as_py() for value in batch.column(0))
            found = [[number + 1 for number in one] for one in self._encoded(texts)]
            yield torch.tensor([one + [0] * (self.length - len(one)) for one in found], dtype=torch.int64)

    def _encoded(self, texts: Iterator[str]) -> Iterator[list[int]]:
        for one in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False):
            yield one.ids[: self.length]

    def passes(self, chunk: Int[Tensor, "b l"], *, even: bool) -> Iterator[tuple[Int[Tensor, " p"], Tensor]]:
        """Rows of a chunk that go through a network together, and what goes: of like length, unless it must be even."""
        if even:
            for rows in torch.split(torch.arange(len(chunk)), _TOGETHER):
                yield rows, chunk[rows]
            return
        lengths = (chunk > 0).sum(1)
        for rows in torch.split(lengths.argsort(stable=True), _TOGETHER):
            yield rows, chunk[rows, : max(1, int(lengths[rows].max()))]


class Dressed(nn.Module):
    """The stem of an encoder: marks around the tokens, then its embeddings."""

    def __init__(self, words: Words, embeddings: nn.Module) -> None:
        super().__init__()
        self.before, self.after, self.padding = words.before, words.after, words.padding
        self.embeddings = embeddings

    def forward(self, tokens: Int[Tensor, "n l"]) -> tuple[Float[Tensor, "n m w"], Bool[Tensor, "n m"]]:
        """Embedded tokens, and which of them are there."""
        ids, there = self.dress(tokens)
        return self.embeddings(ids), there

    def dress(self, tokens: Int[Tensor, "n l"]) -> tuple[Int[Tensor, "n m"], Bool[Tensor, "n m"]]:
        """Token numbers as the network knows them, and which of them are there."""
        count, length = tokens.shape
        before, after = len(self.before), len(self.after)
        ends = before + (tokens > 0).sum(1, keepdim=True)
        place = tokens.device
        ids = torch.full((count, before + length + after), self.padding, device=place)
        ids[:, :before] = torch.tensor(self.before, device=place)
        ids[:, before : before + length] = torch.where(tokens > 0, tokens - 1, self.padding)
        ids.scatter_(
            1, ends + torch.arange(after, device=place), torch.tensor(self.after, device=place).expand(count, -1)
        )
        return ids, torch.arange(ids.shape[1], device=place) < ends + after


def _tokenizer(source: Source) -> Tokenizer:
    path = source.folder / "tokenizer.json"
    if path.is_file():
        return Tokenizer.from_file(str(path))
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source.folder, trust_remote_code=False).backend_tokenizer
