"""Reads texts as a pretrained encoder expects them.

Tokens are stored without special tokens, each id raised by one, so that 0 means no token, as everywhere; the network's
stem adds the special tokens.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer
from torch import Tensor, nn

from worker.backbones.backbone_files import BackboneFiles
from worker.data.canonical import Canonical
from worker.data.texts import usual_length

_TOGETHER = 64  # texts in one pass
_POSITIONS = 512  # where the configuration does not say
_SPARE = 2  # positions that some families leave unused


@dataclass(frozen=True)
class TextReader:
    """Tokenizes texts to at most `length` tokens. `before` and `after`: ids of special tokens; `padding`: the id that pads."""

    tokenizer: Tokenizer
    before: tuple[int, ...]
    after: tuple[int, ...]
    padding: int
    length: int

    column = "text"

    @classmethod
    def open(cls, source: BackboneFiles, length: int) -> "TextReader":
        """From a network's folder. `length` includes special tokens and is reduced to the network's number of positions."""
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

    def with_usual_length(self, dataset: Canonical) -> "TextReader":
        """The same reader with the length of nearly all texts of a dataset, where all texts must have one length."""
        rows = torch.arange(len(dataset.labels))
        shorter = usual_length(self.tokenizer, dataset.texts(rows), self.length)
        return TextReader(self.tokenizer, self.before, self.after, self.padding, shorter)

    def chunks(self, dataset: Canonical, rows: Int[Tensor, " k"]) -> Iterator[Int[Tensor, "b l"]]:
        """Token ids of some rows, in ascending order, in parts."""
        for batch in dataset.batches([self.column], rows):
            texts = (value.as_py() for value in batch.column(0))
            found = [[number + 1 for number in one] for one in self._encoded(texts)]
            yield torch.tensor([one + [0] * (self.length - len(one)) for one in found], dtype=torch.int64)

    def _encoded(self, texts: Iterator[str]) -> Iterator[list[int]]:
        for one in self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False):
            yield one.ids[: self.length]

    def passes(self, chunk: Int[Tensor, "b l"], *, even: bool) -> Iterator[tuple[Int[Tensor, " p"], Tensor]]:
        """Batches of a chunk: their rows and tokens. Texts of similar length go together; with `even` all have one length."""
        if even:
            for rows in torch.split(torch.arange(len(chunk)), _TOGETHER):
                yield rows, chunk[rows]
            return
        lengths = (chunk > 0).sum(1)
        for rows in torch.split(lengths.argsort(stable=True), _TOGETHER):
            yield rows, chunk[rows, : max(1, int(lengths[rows].max()))]


class TokenEmbeddings(nn.Module):
    """The stem of an encoder: adds special tokens, then embeds."""

    def __init__(self, words: TextReader, embeddings: nn.Module) -> None:
        super().__init__()
        self.before, self.after, self.padding = words.before, words.after, words.padding
        self.embeddings = embeddings

    def forward(self, tokens: Int[Tensor, "n l"]) -> tuple[Float[Tensor, "n m w"], Bool[Tensor, "n m"]]:
        """Embedded tokens, and a mask of those that are not padding."""
        ids, there = self.add_special_tokens(tokens)
        return self.embeddings(ids), there

    def add_special_tokens(self, tokens: Int[Tensor, "n l"]) -> tuple[Int[Tensor, "n m"], Bool[Tensor, "n m"]]:
        """Token ids of the network's vocabulary, and a mask of those that are not padding."""
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


def _tokenizer(source: BackboneFiles) -> Tokenizer:
    path = source.folder / "tokenizer.json"
    if path.is_file():
        return Tokenizer.from_file(str(path))
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(source.folder, trust_remote_code=False).backend_tokenizer
