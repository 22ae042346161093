"""Digests of what clients ask for."""

import hashlib
import json

from pydantic import BaseModel


def canonical_digest(*parts: str | BaseModel) -> str:
    """SHA-256, in hexadecimal, of texts and of models in their one canonical JSON form."""
    texts = [part if isinstance(part, str) else _canonical(part) for part in parts]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _canonical(model: BaseModel) -> str:
    return json.dumps(model.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
