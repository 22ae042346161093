"""The served description says what the contract promises."""

import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from service.api.http.examples import EXAMPLES
from service.api.schemas.jobs import JobView
from service.api.schemas.samples import SuspectPage
from service.domain.dataset import DatasetInfo
from service.services import Services
from tests.builders import CSV, add_dataset, form
from tests.described import described, operations

# What the contract's page promises.
PROMISED = {
    ("post", "/datasets"),
    ("get", "/datasets"),
    ("post", "/datasets/sample"),
    ("get", "/datasets/{dataset_id}"),
    ("delete", "/datasets/{dataset_id}"),
    ("get", "/datasets/{dataset_id}/skipped"),
    ("get", "/datasets/{dataset_id}/samples"),
    ("get", "/datasets/{dataset_id}/profile"),
    ("get", "/datasets/{dataset_id}/samples/{sample_id}"),
    ("get", "/datasets/{dataset_id}/samples/{sample_id}/media"),
    ("post", "/networks"),
    ("get", "/networks"),
    ("get", "/networks/{network_id}"),
    ("delete", "/networks/{network_id}"),
    ("get", "/jobs/{job_id}/model"),
    ("post", "/jobs"),
    ("post", "/jobs/estimate"),
    ("get", "/jobs"),
    ("get", "/jobs/{job_id}"),
    ("delete", "/jobs/{job_id}"),
    ("get", "/jobs/{job_id}/events"),
    ("post", "/jobs/{job_id}/cancel"),
    ("post", "/jobs/{job_id}/retry"),
    ("get", "/jobs/{job_id}/suspects"),
    ("get", "/jobs/{job_id}/samples/{sample_id}"),
    ("get", "/jobs/{job_id}/signals"),
    ("get", "/jobs/{job_id}/report"),
    ("get", "/jobs/{job_id}/groups"),
    ("get", "/jobs/{job_id}/issues"),
    ("get", "/jobs/{job_id}/verify-next"),
    ("post", "/jobs/{job_id}/reviews"),
    ("get", "/jobs/{job_id}/reviews"),
    ("get", "/jobs/{job_id}/reviews/summary"),
    ("post", "/jobs/{job_id}/reviews/bulk"),
    ("post", "/jobs/{job_id}/reviews/undo"),
    ("post", "/jobs/{job_id}/audit/draws"),
    ("get", "/jobs/{job_id}/audit"),
    ("get", "/jobs/{job_id}/audit/certificate"),
    ("get", "/jobs/{job_id}/reviews/events"),
    ("get", "/events"),
    ("get", "/jobs/{job_id}/confusion"),
    ("get", "/jobs/{job_id}/map"),
    ("get", "/jobs/{job_id}/cut-offs"),
    ("get", "/jobs/{job_id}/classes"),
    ("get", "/jobs/{job_id}/annotators"),
    ("get", "/jobs/{job_id}/planted-errors"),
    ("post", "/datasets/{dataset_id}/versions"),
    ("get", "/datasets/{dataset_id}/versions"),
    ("get", "/datasets/{dataset_id}/download"),
    ("get", "/datasets/{dataset_id}/verified"),
    ("get", "/jobs/{job_id}/diff"),
    ("post", "/jobs/{job_id}/rerun"),
    ("post", "/jobs/{job_id}/rescore"),
    ("post", "/jobs/{job_id}/proxies"),
    ("get", "/jobs/{job_id}/lineage"),
    ("post", "/connections"),
    ("get", "/connections"),
    ("get", "/connections/{connection_id}"),
    ("delete", "/connections/{connection_id}"),
    ("put", "/connections/{connection_id}/token"),
    ("post", "/connections/{connection_id}/backend"),
    ("post", "/jobs/{job_id}/push"),
    ("post", "/jobs/{job_id}/push/undo"),
    ("post", "/jobs/{job_id}/reconcile"),
    ("get", "/ls/{secret}/health"),
    ("post", "/ls/{secret}/setup"),
    ("get", "/ls/{secret}/versions"),
    ("post", "/ls/{secret}/predict"),
    ("post", "/ls/{secret}/webhook"),
    ("get", "/deliveries"),
    ("get", "/deliveries/{delivery_id}"),
    ("post", "/deliveries/{delivery_id}/retry"),
    ("post", "/keys"),
    ("get", "/keys"),
    ("get", "/keys/{key_id}"),
    ("delete", "/keys/{key_id}"),
    ("post", "/keys/{key_id}/rotate"),
    ("get", "/audit-log"),
    ("get", "/session"),
    ("post", "/sign-out"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/models"),
    ("get", "/signals"),
}
# Fields of the contract's examples, by the schema that answers them.
FIELDS = {
    "DatasetInfo": "id name modality rows classes class_counts features splits digest skipped_rows warnings created_at",
    "JobView": "id name state progress spec dataset attempts created_at started_at finished_at error result links",
    "Progress": "fraction phase detail eta_seconds",
    "JobResult": "samples model estimates timings signals warnings",
    "JobEstimate": "spec seconds basis",
    "JobLinks": "self suspects events report",
    "JobSpec": "dataset reference model training influence signals glitches name priority",
    "Training": "epochs batch_size learning_rate optimizer seed checkpoints",
    "SuspectPage": "items by flagged next total",
    "Suspect": "rank sample given_label suggested_label suggested_confidence score verdict review signals",
    "SampleCard": "id index preview links",
    "SignalView": "name title high source histogram quantiles cost correlations detection detection_by_kind",
    "GroupView": "label size separation gap sample_ids previews",
    "Problem": "type title status detail errors",
}
DESCRIBED = described()


def refs(node: Any) -> Iterator[str]:
    """Every reference in a description."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    if isinstance(node, list):
        for one in node:
            yield from refs(one)


def test_every_promised_path_is_described_and_no_other() -> None:
    assert {(method, path) for method, path, _ in operations()} == PROMISED


@pytest.mark.parametrize(("schema", "fields"), FIELDS.items())
def test_the_contracts_fields_are_there(schema: str, fields: str) -> None:
    assert set(fields.split()) <= set(DESCRIBED["components"]["schemas"][schema]["properties"])


def test_every_operation_says_what_it_is() -> None:
    tags = {tag["name"] for tag in DESCRIBED["tags"]}
    for method, path, operation in operations():
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
        assert set(operation["tags"]) <= tags, (method, path)
        for status, response in operation["responses"].items():
            assert response["description"], (method, path, status)
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], (method, path, status)
            elif status != "204":
                assert response["content"], (method, path, status)


def test_every_operation_that_reads_json_says_what_a_body_that_it_cannot_read_is_answered() -> None:
    reading = {
        f"{method} {path}": set(operation["responses"])
        for path, operations in DESCRIBED["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    }
    assert {name: found for name, found in reading.items() if not {"400", "413", "415", "422"} <= found} == {}


def test_every_reference_leads_somewhere() -> None:
    schemas = DESCRIBED["components"]["schemas"]
    assert {ref.removeprefix("#/components/schemas/") for ref in refs(DESCRIBED)} <= set(schemas)
    assert "HTTPValidationError" not in schemas


def test_both_kinds_of_body_are_described_with_examples_that_work(client: httpx.Client, services: Services) -> None:
    info = add_dataset(services.database, blobs=services.blobs)
    for path, status in (("/datasets", 201), ("/jobs", 202)):
        content = DESCRIBED["paths"][path]["post"]["requestBody"]["content"]
        assert set(content) == {"application/json", "multipart/form-data"}
        example = content["multipart/form-data"]["example"]
        sent = form((example["file"] * 30).encode(), spec=example["spec"])
        assert client.post(path, **sent).status_code == status
        for shown in content["application/json"]["examples"].values():
            if path == "/jobs" and "connection" not in shown["value"]:
                sent = {"json": {**shown["value"], "dataset": info.id}}
                assert client.post(path, **sent).status_code == status


@pytest.mark.parametrize("model", [DatasetInfo, JobView, SuspectPage])
def test_examples_of_answers_are_answers(model: type[BaseModel]) -> None:
    (example,) = DESCRIBED["components"]["schemas"][model.__name__]["examples"]
    columns = [{**one, "column": "f0"} for one in EXAMPLES["DatasetInfo"]["features"]]
    filled = json.loads(
        json.dumps(example).replace(json.dumps(EXAMPLES["DatasetInfo"]["features"]), json.dumps(columns))
    )
    assert json.loads(model.model_validate(filled).model_dump_json()) == example


def test_the_served_description_is_this_one(client: httpx.Client) -> None:
    assert client.get("/openapi.json").json() == json.loads(json.dumps(DESCRIBED))
    assert 'data-description="/openapi.json"' in client.get("/docs").text


def test_csv_of_the_readme_is_accepted_as_a_stream(client: httpx.Client) -> None:
    response = client.post(
        "/jobs", files={"file": ("train.csv", io.BytesIO(CSV)), "spec": (None, b'{"dataset": {"label": "animal"}}')}
    )
    assert response.status_code == 202
