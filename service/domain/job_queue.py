"""Queue of a job: the workers that it is for.

A GPU pays where a step has much to compute. A step of a small network over the numbers of a table is mostly launches: on an H200 a job of
model auto on adult took 2.4 times as long as on its processor, 4 ms a step. Steps have since become CUDA graphs, with which nobody has measured a
whole job; tables are quick on any processor, and a GPU is better kept for what is not.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from service.domain.models import MODELS
from service.domain.specs import JobSpec

JobQueue = Literal["gpu", "cpu"]
JOB_QUEUES: tuple[JobQueue, ...] = get_args(JobQueue)

# Units of a layer. A step of 64 rows took 3 ms on one thread with 256 units, 12 with 512, 41 with 1,024.
_WIDE = 1_024


def queue_of(spec: JobSpec) -> JobQueue:
    """`gpu` for networks over images and texts, exported networks of users, and large networks over numbers; else `cpu`.

    Tables, trees, probes on embeddings, recorded trainings and predictions are `cpu`. What `auto` stands for is decided in the spec.
    """
    name, params = spec.model.name, spec.model.params
    if "architecture" in params:  # uploaded weights of one of these networks
        name, params = params["architecture"], params["params"]
    return "gpu" if _is_large(name, params) else "cpu"


def _is_large(name: str, params: Mapping[str, Any]) -> bool:
    model = MODELS[name]
    if model.modality in ("image", "text", "any"):
        return True
    return not model.trees and (model.cost == "high" or params.get("width", 0) >= _WIDE)
