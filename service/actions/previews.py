"""Previews of samples, kept once they were read: lists show the same samples again and again."""

from collections.abc import Sequence
from typing import Any

from service.domain.dataset import DatasetInfo
from service.ingest import rows
from service.services import Services


def previews(services: Services, info: DatasetInfo, positions: Sequence[int]) -> list[dict[str, Any]]:
    """A short form of the rows at these 0-based positions in the canonical file, in the order asked for."""
    kept = services.previews
    found = {place: shown for place in positions if (shown := kept.get((info.id, place))) is not None}
    absent = list(dict.fromkeys(place for place in positions if place not in found))
    if absent:
        read = rows.previews(services.blobs.canonical(info.id), absent)
        found |= {place: kept.put((info.id, place), shown) for place, shown in zip(absent, read, strict=True)}
    return [found[place] for place in positions]
