"""Additions to the OpenAPI description: bodies that are read by hand, problem details, examples."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from service.api.http.errors import Problem
from service.api.http.examples import EXAMPLES
from service.api.schemas.datasets import FromProject, FromUrl
from service.domain.access import KeyRequest, RotateRequest
from service.domain.audit import DrawRequest, ProxyRequest
from service.domain.connection import ConnectionRequest, PushRequest, TokenRequest
from service.domain.dataset import DatasetSpec, VersionRequest
from service.domain.label_studio import PredictRequest, SetupRequest, ToolEvent
from service.domain.network import NetworkSpec
from service.domain.review import BulkReview, Decision, UndoRequest
from service.domain.specs import JobRequest, PullJobRequest, RerunRequest, UploadJobRequest

_TEMPLATE = "#/components/schemas/{model}"
_TAGS = [
    {"name": "datasets", "description": "Labelled data: tables, images, texts, embeddings."},
    {"name": "networks", "description": "Networks of your own, which jobs may train on."},
    {"name": "jobs", "description": "Train a model on a dataset, measure influence, rank every sample."},
    {"name": "rankings", "description": "What a job found, sample by sample and signal by signal."},
    {"name": "reviews", "description": "What people decide, and what becomes of it."},
    {"name": "audits", "description": "How many labels are wrong, measured by reviews, and when they suffice."},
    {"name": "connections", "description": "Labelling tools: tasks come from them, suspects go back to them."},
    {"name": "label studio", "description": "What Label Studio calls, under a path that is known to nobody else."},
    {"name": "webhooks", "description": "Messages to clients when their jobs end."},
    {"name": "keys", "description": "Keys of callers, their projects, and the log of what was done with them."},
    {"name": "operations", "description": "What may be asked for, and how the service is."},
]


def _form(model: str, file: str, example: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary", "description": file},
            "spec": {"$ref": _TEMPLATE.format(model=model)},
        },
        "additionalProperties": False,
    }
    encoding = {"spec": {"contentType": "application/json"}}
    return {"multipart/form-data": {"schema": schema, "encoding": encoding, "example": example}}


def _body(
    json_models: tuple[str, ...], json_examples: dict[str, Any], form_model: str, form_example: dict[str, Any]
) -> dict[str, Any]:
    alternatives = [{"$ref": _TEMPLATE.format(model=model)} for model in json_models]
    json_schema = alternatives[0] if len(alternatives) == 1 else {"anyOf": alternatives}
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": json_schema,
                    "examples": {name: {"value": value} for name, value in json_examples.items()},
                },
                **_form(form_model, "CSV, Excel, Parquet, ZIP of images, and others.", form_example),
            },
        }
    }


DATASET_BODY = _body(
    ("FromUrl", "FromProject"),
    {
        "by URL": {"url": "https://example.org/adult.csv.gz", "spec": {"name": "adult", "label": "income"}},
        "tasks of Label Studio": {"connection": "con_01kbz6q2s9e5n6v8y3ab", "project": 7, "name": "animals"},
    },
    "DatasetSpec",
    {"file": "age,income\n39,<=50K\n52,>50K\n39,>50K\n", "spec": {"name": "adult", "label": "income"}},
)
JOB_BODY = _body(
    ("JobRequest", "PullJobRequest"),
    {
        "defaults": {"dataset": "ds_01kbz6m1qpx3v9f0a2bc"},
        "trusted test split": {
            "dataset": "ds_01kbz6m1qpx3v9f0a2bc",
            "reference": {"split": "test", "trusted": True},
            "training": {"epochs": 20, "seed": 1},
            "name": "adult, trusted test split",
        },
        "loop and webhook": {
            "dataset": "ds_01kbz6m1qpx3v9f0a2bc",
            "loop": {"after": 50, "quiet_seconds": 60, "cool_down_seconds": 600},
            "webhook": {
                "url": "https://example.org/hooks/suspects",
                "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            },
        },
        "tasks of Label Studio": {
            "connection": "con_01kbz6q2s9e5n6v8y3ab",
            "project": 7,
            "annotation_policy": "latest",
        },
        "planted glitches": {
            "dataset": "ds_01kbz6m1qpx3v9f0a2bc",
            "glitches": [{"kind": "mislabeled_uniform", "rate": 0.1, "seed": 0}],
        },
    },
    "UploadJobRequest",
    {"file": "age,income\n39,<=50K\n52,>50K\n39,>50K\n", "spec": {"dataset": {"label": "income"}}},
)

NETWORK_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": _form(
            "NetworkSpec",
            "Weights as safetensors, or a .pt2 of torch.export.save.",
            {"file": "the bytes of model.pt2", "spec": {"name": "our model"}},
        ),
    }
}

REVIEWS_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "array", "minItems": 1, "items": {"$ref": _TEMPLATE.format(model="Decision")}},
                "example": [
                    {"sample_id": "row-17", "decision": "relabel", "label": ">50K"},
                    {"sample_id": "row-3", "decision": "keep"},
                    {"sample_id": "row-40", "decision": "remove"},
                ],
            }
        },
    }
}

VERSION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": _TEMPLATE.format(model="VersionRequest")},
                "example": {"job": "job_01kbz6p4r8d1m5t7w9xy", "apply": "reviews"},
            }
        },
    }
}


def _json_body(model: str, example: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    content = {"schema": {"$ref": _TEMPLATE.format(model=model)}, "example": example}
    return {"requestBody": {"required": required, "content": {"application/json": content}}}


ESTIMATE_BODY = _json_body("JobRequest", {"dataset": "ds_01kbz6m1qpx3v9f0a2bc", "training": {"epochs": 20}})
BULK_BODY = _json_body(
    "BulkReview",
    {
        "filter": {"verdict": "mislabeled", "min_confidence": 0.95, "reviewed": False},
        "decision": "relabel",
        "label": None,
        "reviewer": "Noor",
        "dry_run": True,
    },
)
DRAWS_BODY = _json_body("DrawRequest", {"count": 20, "goal": "recall:0.9", "reviewer": "Noor"})
PROXY_BODY = _json_body("ProxyRequest", {"name": "second annotator", "labels": {"row-17": "cat", "row-18": "dog"}})
UNDO_BODY = _json_body("UndoRequest", {"batch": "batch_01kbz6p4r8d1m5t7w9xy", "reviewer": "Noor"})
CONNECTION_BODY = _json_body(
    "ConnectionRequest",
    {"kind": "label_studio", "url": "https://labels.example.org", "token": "the token of its account page"},
)
PUSH_BODY = _json_body("PushRequest", {"mode": "tab", "dry_run": True})
SETUP_BODY = _json_body("SetupRequest", {"project": "7.1795433057", "schema": "<View>…</View>", "access_token": "…"})
QUESTION_BODY = _json_body(
    "PredictRequest",
    {"project": "7.1795433057", "label_config": "<View>…</View>", "tasks": [{"id": 52, "data": {"text": "…"}}]},
)
EVENT_BODY = _json_body(
    "ToolEvent", {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 33}], "project": {"id": 7}}
)
KEY_BODY = _json_body(
    "KeyRequest", {"name": "Noor", "scopes": ["review"], "project": "birds", "quota": {"requests_per_minute": 600}}
)
RERUN_BODY = _json_body("RerunRequest", {"now": True}, required=False)
ROTATE_BODY = _json_body("RotateRequest", {"grace_seconds": 3600})
TOKEN_BODY = _json_body("TokenRequest", {"token": "the token of its account page"})


def install(app: FastAPI) -> None:
    """Serve the completed description."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _complete(app)
        return app.openapi_schema

    app.openapi = describe  # type: ignore[method-assign] # FastAPI's own way to extend it


def _complete(app: FastAPI) -> dict[str, Any]:
    described = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=_TAGS,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    models = (
        Problem,
        FromUrl,
        FromProject,
        DatasetSpec,
        NetworkSpec,
        JobRequest,
        PullJobRequest,
        UploadJobRequest,
        Decision,
        BulkReview,
        UndoRequest,
        DrawRequest,
        ProxyRequest,
        VersionRequest,
        ConnectionRequest,
        TokenRequest,
        KeyRequest,
        RotateRequest,
        RerunRequest,
        PushRequest,
        ToolEvent,
        SetupRequest,
        PredictRequest,
    )
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=_TEMPLATE)
    schemas = described.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in found["$defs"].items():
        schemas.setdefault(name, schema)
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    for operations in described["paths"].values():
        for operation in operations.values():
            _drop_assumed(operation["responses"])
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return described


def _drop_assumed(responses: dict[str, Any]) -> None:
    """FastAPI assumes a 422 wherever there is any parameter; routes that can answer it say so themselves."""
    assumed = responses.get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if assumed.get("$ref", "").endswith("/HTTPValidationError"):
        del responses["422"]
