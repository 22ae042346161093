"""Which queue a job is for."""

from typing import Any

import pytest

from service.domain.job_queue import JOB_QUEUES, queue_of
from service.domain.models import MODELS
from service.domain.specs import JobSpec, ModelRequest
from service.settings import WORKER_QUEUES
from tests.builders import dataset_info, job_spec
from worker.process.queues import queues_read, queues_taken


def spec(name: str, **params: Any) -> JobSpec:
    return job_spec(dataset_info()).model_copy(update={"model": ModelRequest(name=name, params=params)})


def test_tables_trees_probes_and_what_trains_nothing_are_for_the_processor_and_other_models_for_a_gpu() -> None:
    params = {"safetensors": {"architecture": "linear_probe", "params": {}}}
    of_cpu = {name for name in MODELS if queue_of(spec(name, **params.get(name, {}))) == "cpu"}
    assert of_cpu == {
        *("boosted_trees", "logistic_regression", "mlp", "tabular_resnet", "tabm"),
        *("linear_probe", "mlp_probe", "safetensors", "trace", "predictions"),
    }


@pytest.mark.parametrize(
    ("modality", "queue"), [("tabular", "cpu"), ("embedding", "cpu"), ("image", "gpu"), ("text", "gpu")]
)
def test_auto_is_for_the_queue_of_what_it_stands_for(modality: str, queue: str) -> None:
    assert queue_of(job_spec(dataset_info(modality=modality))) == queue


def test_a_wide_network_over_numbers_is_for_a_gpu_also_where_its_weights_were_uploaded() -> None:
    assert [queue_of(spec("mlp", width=width)) for width in (1_023, 1_024)] == ["cpu", "gpu"]
    uploaded = {"architecture": "mlp", "params": {"width": 2_048}}
    assert queue_of(spec("safetensors", network="net_1", **uploaded)) == "gpu"


def test_a_worker_reads_what_services_of_each_version_send_to_those_whose_jobs_it_takes() -> None:
    usual = WORKER_QUEUES.split(",")
    assert queues_read(usual) == ["questions", "gpu", "cpu", "jobs", "blocks"]
    assert queues_read(["questions", "jobs", "blocks"]) == ["questions", "jobs", "gpu", "cpu", "blocks"]
    assert queues_read(["gpu"]) == ["gpu"]
    assert queues_read(["questions", "cpu"]) == ["questions", "cpu", "jobs"]
    assert queues_taken(usual) == queues_taken(["jobs"]) == JOB_QUEUES
    assert [queues_taken([name]) for name in ("gpu", "cpu", "blocks")] == [("gpu",), ("cpu",), ()]
