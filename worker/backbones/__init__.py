"""Pretrained networks: where they are found, how they are cut, and what their frozen part gave, kept for later jobs."""

from worker.backbones.features import Features, gathered
from worker.backbones.footing import Footing
from worker.backbones.fresh import again
from worker.backbones.pretrained import Encoded, Shelf, encode

__all__ = ["Encoded", "Features", "Footing", "Shelf", "again", "encode", "gathered"]
