"""Requests that bring each documented status about, by operation and status."""

from typing import Any

from tests.builders import form
from tests.contract.scene import state
from tests.stand_in import TEXT_CONFIG, TOKEN

Sent = dict[str, Any]
JOB, QUEUED, CANCELLED, NONE = ({"job_id": f"job_{number}"} for number in (1, 2, 3, 4))
DEAD, PENDING, NO_DELIVERY = ({"delivery_id": name} for name in ("dead", "pending", "wh_0"))
CONNECTION, NO_CONNECTION = {"connection_id": "con_1"}, {"connection_id": "con_0"}
TOOL, NO_TOOL = {"secret": "con_1.secret"}, {"secret": "con_1.wrong"}
EVENT = {"action": "ANNOTATION_UPDATED", "project": {"id": 7}}
SETUP = {"project": "7.1795433057", "schema": TEXT_CONFIG, "access_token": "0" * 40}
QUESTION = {**SETUP, "label_config": TEXT_CONFIG, "tasks": [{"id": 1, "data": {"text": "words"}}]}
DATASET, NO_DATASET = {"dataset_id": "ds_1"}, {"dataset_id": "ds_0"}
OPINIONS = {"name": "second annotator", "labels": {"row-1": "cat"}}
WRITTEN_AGAIN: Sent = {"params": {"format": "original", "columns": "previous_label"}}
BROKEN: Sent = {"content": b"{", "headers": {"Content-Type": "application/json"}}


def _unread(body: dict[str, Any]) -> dict[int, tuple[dict[str, str], Sent]]:
    """Bodies that the labelling tool's routes refuse."""
    return {
        400: (TOOL, BROKEN),
        404: (NO_TOOL, {"json": body}),
        413: (TOOL, {"json": ["x" * 2**24]}),
        415: (TOOL, {"content": b"x"}),
        422: (TOOL, {"json": {}}),
    }


ADMIN, READER, EXPIRED, NO_KEY = ({"key_id": name} for name in ("admin key", "reader key", "expired key", "key_0"))
USED, FREE, NO_NETWORK = ({"network_id": name} for name in ("used", "free", "net_0"))
ENDED = {200: JOB, 404: NONE, 409: QUEUED, 410: CANCELLED}


# By operation and status: path parameters, and what is sent.
SENT: dict[tuple[str, str], dict[int, tuple[dict[str, str], Sent]]] = {
    ("post", "/datasets"): {
        201: ({}, form(spec={"label": "animal"})),
        400: ({}, BROKEN),
        404: ({}, {"json": {"connection": "con_0", "project": 7}}),
        409: ({}, {"json": {"connection": "con_1", "project": 7}}),
        413: ({}, form(spec={"label": "animal"})),
        415: ({}, {"content": b"x"}),
        422: ({}, form(spec={"label": "nothing"})),
        429: ({}, form(spec={"label": "animal", "exclude": ["colour"]})),
        502: ({}, {"json": {"connection": "con_1", "project": 7}}),
        507: ({}, form(spec={"label": "animal"})),
    },
    ("post", "/networks"): {
        201: ({}, form(state(3))),
        400: ({}, {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}),
        413: ({}, form(state(3))),
        415: ({}, form(b"x")),
        422: ({}, form(state(3), spec={"name": 1})),
        429: ({}, form(state(4))),
        507: ({}, form(state(3))),
    },
    ("get", "/networks"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"limit": 0}}),
    },
    ("get", "/networks/{network_id}"): {200: (FREE, {}), 404: (NO_NETWORK, {})},
    ("delete", "/networks/{network_id}"): {204: (FREE, {}), 404: (NO_NETWORK, {}), 409: (USED, {})},
    ("get", "/jobs/{job_id}/model"): {status: (job, {}) for status, job in ENDED.items()},
    ("get", "/datasets"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"limit": 0}}),
    },
    ("post", "/datasets/sample"): {201: ({}, {}), 429: ({}, {}), 507: ({}, {})},
    ("get", "/datasets/{dataset_id}"): {200: (DATASET, {}), 404: (NO_DATASET, {})},
    ("delete", "/datasets/{dataset_id}"): {
        204: ({"dataset_id": "images"}, {}),
        404: (NO_DATASET, {}),
        409: (DATASET, {}),
    },
    ("get", "/datasets/{dataset_id}/skipped"): {
        200: (DATASET, {}),
        400: (DATASET, {"params": {"cursor": "x"}}),
        404: (NO_DATASET, {}),
        422: (DATASET, {"params": {"limit": 1001}}),
    },
    ("get", "/datasets/{dataset_id}/samples"): {
        200: (DATASET, {}),
        400: (DATASET, {"params": {"cursor": "x"}}),
        404: (NO_DATASET, {}),
        422: (DATASET, {"params": {"limit": 0}}),
    },
    ("get", "/datasets/{dataset_id}/profile"): {200: (DATASET, {}), 404: (NO_DATASET, {})},
    ("get", "/datasets/{dataset_id}/samples/{sample_id}"): {
        200: ({**DATASET, "sample_id": "row-1"}, {}),
        404: ({**DATASET, "sample_id": "row-x"}, {}),
    },
    ("get", "/datasets/{dataset_id}/samples/{sample_id}/media"): {
        200: ({"dataset_id": "images", "sample_id": "a%2F1.png"}, {}),
        404: ({**DATASET, "sample_id": "row-1"}, {}),
        422: ({"dataset_id": "images", "sample_id": "a%2F1.png"}, {"params": {"side": 0}}),
    },
    ("post", "/jobs"): {
        202: ({}, {"json": {"dataset": "ds_1"}}),
        400: ({}, BROKEN),
        404: ({}, {"json": {"dataset": "ds_0"}}),
        409: ({}, {"json": {"connection": "con_1", "project": 7}}),
        413: ({}, form()),
        415: ({}, {"content": b"x"}),
        422: ({}, {"json": {}}),
        429: ({}, {"json": {"dataset": "ds_1"}}),
        502: ({}, {"json": {"connection": "con_1", "project": 7}}),
        507: ({}, form()),
    },
    ("post", "/jobs/estimate"): {
        200: ({}, {"json": {"dataset": "ds_1"}}),
        400: ({}, BROKEN),
        404: ({}, {"json": {"dataset": "ds_0"}}),
        413: ({}, {"json": ["x" * 2**24]}),
        415: ({}, {"content": b"x"}),
        422: ({}, {"json": {}}),
    },
    ("get", "/jobs"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"state": "x"}}),
    },
    ("get", "/jobs/{job_id}"): {200: (JOB, {}), 404: (NONE, {})},
    ("delete", "/jobs/{job_id}"): {204: (JOB, {}), 404: (NONE, {}), 409: (QUEUED, {})},
    ("get", "/jobs/{job_id}/events"): {
        200: (JOB, {}),
        400: (JOB, {"headers": {"Last-Event-ID": "x"}}),
        404: (NONE, {}),
    },
    ("post", "/jobs/{job_id}/cancel"): {202: (QUEUED, {}), 404: (NONE, {}), 409: (JOB, {})},
    ("post", "/jobs/{job_id}/retry"): {
        202: (CANCELLED, {}),
        404: (NONE, {}),
        409: (QUEUED, {}),
        429: (CANCELLED, {}),
    },
    ("get", "/jobs/{job_id}/suspects"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        400: (JOB, {"params": {"cursor": "x"}}),
        406: (JOB, {"headers": {"Accept": "image/png"}}),
        422: (JOB, {"params": {"by": "x"}}),
    },
    ("get", "/jobs/{job_id}/samples/{sample_id}"): {
        status: ({**job, "sample_id": "row-1"}, {}) for status, job in ENDED.items()
    },
    ("get", "/jobs/{job_id}/signals"): {status: (job, {}) for status, job in ENDED.items()},
    ("get", "/jobs/{job_id}/report"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        406: (JOB, {"headers": {"Accept": "image/png"}}),
        422: (JOB, {"params": {"format": "x"}}),
    },
    ("get", "/jobs/{job_id}/groups"): {status: (job, {}) for status, job in ENDED.items()},
    ("get", "/jobs/{job_id}/issues"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"type": "x"}}),
    },
    ("get", "/jobs/{job_id}/verify-next"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"count": 0}}),
    },
    ("post", "/jobs/{job_id}/reviews"): {
        201: (JOB, {"json": [{"sample_id": "row-1", "decision": "keep"}]}),
        400: (JOB, BROKEN),
        404: (NONE, {"json": []}),
        409: (QUEUED, {"json": []}),
        410: (CANCELLED, {"json": []}),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: (JOB, {"json": []}),
    },
    ("get", "/jobs/{job_id}/reviews"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        400: (JOB, {"params": {"cursor": "x"}}),
        422: (JOB, {"params": {"limit": 0}}),
    },
    ("get", "/jobs/{job_id}/reviews/summary"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"signal": "x"}}),
    },
    ("post", "/jobs/{job_id}/reviews/bulk"): {
        201: (JOB, {"json": {"filter": {}, "decision": "keep"}}),
        400: (JOB, BROKEN),
        404: (NONE, {"json": {}}),
        409: (QUEUED, {"json": {}}),
        410: (CANCELLED, {"json": {}}),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: (JOB, {"json": {"filter": {"by": "x"}, "decision": "keep"}}),
    },
    ("post", "/jobs/{job_id}/reviews/undo"): {
        201: (JOB, {"json": {"batch": "batch_1"}}),
        400: (JOB, BROKEN),
        404: (NONE, {"json": {}}),
        409: (QUEUED, {"json": {}}),
        410: (CANCELLED, {"json": {}}),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: (JOB, {"json": {"batch": "batch_0"}}),
    },
    ("post", "/jobs/{job_id}/audit/draws"): {
        201: (JOB, {"json": {"count": 2}}),
        400: (JOB, BROKEN),
        404: (NONE, {"json": {}}),
        409: (QUEUED, {"json": {}}),
        410: (CANCELLED, {"json": {}}),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: (JOB, {"json": {"goal": "x"}}),
    },
    ("get", "/jobs/{job_id}/audit"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"goal": "x"}}),
    },
    ("get", "/jobs/{job_id}/audit/certificate"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        406: (JOB, {"headers": {"Accept": "image/png"}}),
        422: (JOB, {"params": {"share": 2}}),
    },
    ("get", "/jobs/{job_id}/reviews/events"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        400: (JOB, {"headers": {"Last-Event-ID": "x"}}),
    },
    ("get", "/jobs/{job_id}/confusion"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"verdict": "x"}}),
    },
    ("get", "/jobs/{job_id}/map"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"method": "x"}}),
    },
    ("get", "/jobs/{job_id}/cut-offs"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"by": "x"}}),
    },
    ("get", "/jobs/{job_id}/classes"): {status: (job, {}) for status, job in ENDED.items()},
    ("get", "/jobs/{job_id}/annotators"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"limit": 0}}),
    },
    ("get", "/jobs/{job_id}/planted-errors"): {
        **{status: (job, {}) for status, job in ENDED.items()},
        422: (JOB, {"params": {"signals": "x"}}),
    },
    ("post", "/datasets/{dataset_id}/versions"): {
        201: (DATASET, {"json": {"job": "job_1", "apply": "reviews"}}),
        400: (DATASET, BROKEN),
        404: (NO_DATASET, {"json": {"job": "job_1", "apply": "reviews"}}),
        409: (DATASET, {"json": {"job": "job_2", "apply": "reviews"}}),
        410: (DATASET, {"json": {"job": "job_3", "apply": "reviews"}}),
        413: (DATASET, {"json": ["x" * 2**24]}),
        415: (DATASET, {"content": b"x"}),
        422: (DATASET, {"json": {"job": "job_1", "apply": "x"}}),
        507: (DATASET, {"json": {"job": "job_1", "apply": "reviews"}}),
    },
    ("get", "/datasets/{dataset_id}/versions"): {200: (DATASET, {}), 404: (NO_DATASET, {})},
    ("get", "/datasets/{dataset_id}/download"): {
        200: (DATASET, {"params": {"format": "csv"}}),
        404: (NO_DATASET, {}),
        409: (DATASET, {"params": {"format": "original"}}),
        413: ({"dataset_id": "trees"}, WRITTEN_AGAIN),
        422: (DATASET, {"params": {"format": "docx"}}),
        429: ({"dataset_id": "trees"}, WRITTEN_AGAIN),
        507: ({"dataset_id": "trees"}, WRITTEN_AGAIN),
    },
    ("get", "/datasets/{dataset_id}/verified"): {
        200: (DATASET, {}),
        400: (DATASET, {"params": {"cursor": "x"}}),
        404: (NO_DATASET, {}),
        422: (DATASET, {"params": {"limit": 0}}),
    },
    ("get", "/jobs/{job_id}/diff"): {
        **{status: (job, {"params": {"other": "job_1"}}) for status, job in ENDED.items() if status != 200},
        200: (JOB, {"params": {"other": "job_5"}}),
        422: (JOB, {}),
    },
    ("get", "/jobs/{job_id}/lineage"): {200: (JOB, {}), 404: (NONE, {})},
    ("post", "/jobs/{job_id}/rerun"): {
        202: (JOB, {}),
        400: (JOB, BROKEN),
        404: (NONE, {}),
        409: (QUEUED, {}),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: ({"job_id": "job_5"}, {}),
        429: (JOB, {}),
    },
    ("post", "/jobs/{job_id}/proxies"): {
        201: (JOB, {"json": OPINIONS}),
        400: (JOB, BROKEN),
        404: (NONE, {"json": OPINIONS}),
        409: (QUEUED, {"json": OPINIONS}),
        410: (CANCELLED, {"json": OPINIONS}),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: (JOB, {"json": {"name": "nobody"}}),
    },
    ("post", "/jobs/{job_id}/rescore"): {
        202: ({"job_id": "job_9"}, {}),
        404: (NONE, {}),
        409: (JOB, {}),
        410: (CANCELLED, {}),
    },
    ("post", "/connections"): {
        201: ({}, {"json": {"kind": "label_studio", "url": "tool", "token": TOKEN}}),
        400: ({}, BROKEN),
        413: ({}, {"json": ["x" * 2**24]}),
        415: ({}, {"content": b"x"}),
        422: ({}, {"json": {}}),
    },
    ("get", "/connections"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"limit": 0}}),
    },
    ("get", "/connections/{connection_id}"): {200: (CONNECTION, {}), 404: (NO_CONNECTION, {})},
    ("delete", "/connections/{connection_id}"): {
        204: (CONNECTION, {}),
        404: (NO_CONNECTION, {}),
        409: ({"connection_id": "con_2"}, {}),
    },
    ("put", "/connections/{connection_id}/token"): {
        200: (CONNECTION, {"json": {"token": TOKEN}}),
        400: (CONNECTION, BROKEN),
        404: (NO_CONNECTION, {"json": {"token": TOKEN}}),
        413: (CONNECTION, {"json": ["x" * 2**24]}),
        415: (CONNECTION, {"content": b"x"}),
        422: (CONNECTION, {"json": {}}),
    },
    ("post", "/connections/{connection_id}/backend"): {201: (CONNECTION, {}), 404: (NO_CONNECTION, {})},
    ("post", "/jobs/{job_id}/push"): {
        **{status: (job, {"json": {}}) for status, job in ENDED.items()},
        400: (JOB, BROKEN),
        413: (JOB, {"json": ["x" * 2**24]}),
        415: (JOB, {"content": b"x"}),
        422: (JOB, {"json": {"mode": "x"}}),
        502: (JOB, {"json": {}}),
    },
    ("post", "/jobs/{job_id}/push/undo"): {**{status: (job, {}) for status, job in ENDED.items()}, 502: (JOB, {})},
    ("post", "/jobs/{job_id}/reconcile"): {**{status: (job, {}) for status, job in ENDED.items()}, 502: (JOB, {})},
    ("get", "/ls/{secret}/health"): {200: (TOOL, {}), 404: (NO_TOOL, {})},
    ("get", "/ls/{secret}/versions"): {200: (TOOL, {}), 404: (NO_TOOL, {})},
    ("post", "/ls/{secret}/setup"): {200: (TOOL, {"json": SETUP}), **_unread(SETUP)},
    ("post", "/ls/{secret}/predict"): {200: (TOOL, {"json": QUESTION}), **_unread(QUESTION)},
    ("post", "/ls/{secret}/webhook"): {
        202: (TOOL, {"json": EVENT}),
        **_unread(EVENT),
    },
    ("get", "/deliveries"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"state": "x"}}),
    },
    ("get", "/deliveries/{delivery_id}"): {200: (DEAD, {}), 404: (NO_DELIVERY, {})},
    ("post", "/deliveries/{delivery_id}/retry"): {202: (DEAD, {}), 404: (NO_DELIVERY, {}), 409: (PENDING, {})},
    ("post", "/keys"): {
        201: ({}, {"json": {"name": "Noor", "scopes": ["admin"]}}),
        400: ({}, BROKEN),
        413: ({}, {"json": ["x" * 2**24]}),
        415: ({}, {"content": b"x"}),
        422: ({}, {"json": {"name": "Noor", "scopes": ["read"]}}),
    },
    ("get", "/keys"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"limit": 0}}),
    },
    ("get", "/keys/{key_id}"): {200: (READER, {}), 404: (NO_KEY, {})},
    ("delete", "/keys/{key_id}"): {204: (READER, {}), 404: (NO_KEY, {}), 409: (ADMIN, {})},
    ("post", "/keys/{key_id}/rotate"): {
        201: (READER, {"json": {}}),
        400: (READER, BROKEN),
        404: (NO_KEY, {"json": {}}),
        409: (EXPIRED, {"json": {}}),
        413: (READER, {"json": ["x" * 2**24]}),
        415: (READER, {"content": b"x"}),
        422: (READER, {"json": {"grace_seconds": -1}}),
    },
    ("get", "/audit-log"): {
        200: ({}, {}),
        400: ({}, {"params": {"cursor": "x"}}),
        422: ({}, {"params": {"limit": 0}}),
    },
    ("post", "/sign-out"): {204: ({}, {"headers": {"Sec-Fetch-Site": "same-origin"}}), 403: ({}, {})},
    ("get", "/readyz"): {200: ({}, {}), 422: ({}, {"params": {"exclude": "x"}}), 503: ({}, {})},
}
