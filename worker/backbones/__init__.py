"""Pretrained networks: found, split into a frozen and a trained part, and outputs of the frozen part cached."""

from worker.backbones.context import BackboneContext
from worker.backbones.encode import Encoded, encode
from worker.backbones.feature_cache import FeatureCache, select_rows
from worker.backbones.preprocessing import Preprocessing
from worker.backbones.rebuild import rebuild_model

__all__ = ["BackboneContext", "Encoded", "FeatureCache", "Preprocessing", "encode", "rebuild_model", "select_rows"]
