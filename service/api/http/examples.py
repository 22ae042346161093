"""Examples of responses, for the OpenAPI description."""

from typing import Any

_DATASET: dict[str, Any] = {
    "id": "ds_01kbz6m1qpx3v9f0a2bc",
    "name": "adult",
    "modality": "tabular",
    "rows": 32561,
    "classes": ["<=50K", ">50K"],
    "class_counts": {"<=50K": 24720, ">50K": 7841},
    "features": [{"name": "age", "kind": "numeric"}, {"name": "workclass", "kind": "categorical"}],
    "splits": {"train": 32561},
    "digest": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "skipped_rows": 0,
    "inferred": {
        "label": "income",
        "id": None,
        "split": None,
        "modality": "tabular",
        "group_candidates": [],
        "label_candidates": [],
        "format": "csv, delimiter ,, encoding utf-8",
    },
    "warnings": [
        {
            "code": "repeated_rows",
            "title": "Some rows occur more than once.",
            "detail": "24 rows repeat an earlier one, label included",
            "action": None,
        }
    ],
    "created_at": "2026-01-01T12:00:00Z",
    "columns": [
        {
            "name": "age",
            "role": "input",
            "kind": "numeric",
            "why": "every value is a number",
            "missing": 0,
            "unreadable": 0,
            "examples": ["39", "50"],
        },
    ],
    "content_digest": "sha256:9a0364b9e99bb480dd25e1f0284c8555af3d6d3c5e5a1b5a0b6d5a6f4b1c2d3e",
    "lineage": None,
    "recording": None,
    "images": None,
}
_JOB: dict[str, Any] = {
    "id": "job_01kbz6p4r8d1m5t7w9xy",
    "name": "adult",
    "state": "completed",
    "progress": {"fraction": 1.0, "phase": "completed", "detail": "", "eta_seconds": 0.0},
    "spec": {
        "dataset": _DATASET["id"],
        "reference": None,
        "model": {
            "name": "mlp",
            "params": {
                "width": 256,
                "blocks": 2,
                "dropout": 0.0,
                "numeric_embeddings": "piecewise_linear",
                "embedding_width": 16,
            },
        },
        "training": {
            "epochs": 15,
            "batch_size": 128,
            "learning_rate": 0.02,
            "find_learning_rate": True,
            "optimizer": "sgd",
            "schedule": "constant",
            "momentum": 0.9,
            "weight_decay": 0.0,
            "seed": 0,
            "checkpoints": 8,
            "class_weights": "none",
            "augmentation": "none",
            "early_stopping": None,
            "precision": "float32",
        },
        "influence": {"layers": "last", "estimator": "tracin", "columns": 512, "dimension": 1024},
        "signals": ["mislabeled", "anomalous", "si"],
        "glitches": None,
        "loop": None,
        "webhook": {"url": "https://example.org/hooks/suspects"},
        "source": None,
        "fallback": None,
        "name": "adult",
        "priority": 0,
    },
    "dataset": _DATASET,
    "attempts": 1,
    "created_at": "2026-01-01T12:01:00Z",
    "started_at": "2026-01-01T12:01:01Z",
    "finished_at": "2026-01-01T12:01:40Z",
    "error": None,
    "result": {
        "samples": 32561,
        "model": {"train_accuracy": 0.86, "reference_accuracy": None, "learning_rate": 0.04},
        "estimates": {
            "mislabeled": {
                "status": "rough",
                "count": 1810,
                "low": 1470,
                "high": 2205,
                "reason": None,
                "confident_joint": None,
                "rule": None,
            },
            "anomalous": {
                "status": "unknown",
                "count": 0,
                "low": 0,
                "high": 0,
                "reason": "Without verified samples the job does not know what normal samples look like, and anomalies cannot be "
                "counted. Verify at least 150 samples and rank again.",
                "confident_joint": None,
                "rule": None,
            },
        },
        "timings": {"training_s": 24.1, "scoring_s": 10.3, "ranking_s": 1.9},
        "signals": ["mislabeled", "anomalous", "si"],
        "warnings": [
            {
                "code": "no_trusted_reference",
                "title": "Nothing is verified, so anomalies cannot be counted.",
                "detail": "nothing gets the verdict anomalous",
                "action": {
                    "kind": "verify",
                    "label": "Verify 50 samples",
                    "count": 50,
                    "model": None,
                    "changes": {"reference": {"verified": True}},
                },
            }
        ],
        "rescored": None,
    },
    "loop_trouble": None,
    "flagged": 412,
    "reviewed": 50,
    "rerun_at": None,
    "rerun_blocked": None,
    "rescoring": None,
    "verified": 0,
    "rescore_blocked": None,
    "links": {
        "self": "/jobs/job_01kbz6p4r8d1m5t7w9xy",
        "suspects": "/jobs/job_01kbz6p4r8d1m5t7w9xy/suspects",
        "events": "/jobs/job_01kbz6p4r8d1m5t7w9xy/events",
        "report": "/jobs/job_01kbz6p4r8d1m5t7w9xy/report",
        "model": "/jobs/job_01kbz6p4r8d1m5t7w9xy/model",
        "previous": None,
        "next": None,
    },
}
_PAGE: dict[str, Any] = {
    "items": [
        {
            "rank": 1,
            "place": 1,
            "sample": {
                "id": "row-17",
                "index": 17,
                "preview": {"age": 38.0, "workclass": "Private"},
                "links": {"self": "/jobs/job_01kbz6p4r8d1m5t7w9xy/samples/row-17", "media": None, "tool": None},
            },
            "given_label": "<=50K",
            "suggested_label": ">50K",
            "suggested_confidence": 0.93,
            "score": 0.998,
            "verdict": "mislabeled",
            "planted": None,
            "review": None,
            "signals": {"mislabeled": 0.998, "anomalous": 0.41, "si": 12.1},
        }
    ],
    "by": "mislabeled",
    "flagged": 1810,
    "next": "WyI3MmMzN2E4OCIsMC45OTgsMTcsMSwzMjU2MSwxODEwXQ",
    "total": 32561,
}

# By the name of the schema.
EXAMPLES: dict[str, dict[str, Any]] = {"DatasetInfo": _DATASET, "JobView": _JOB, "SuspectPage": _PAGE}
