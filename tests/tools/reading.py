"""Read one of our files with a tool's own code and say what it understood, as JSON. Run by the environment of the tools."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Understood = list[dict[str, Any]]


def fiftyone(path: Path) -> Understood:
    """As README tells users to merge it."""
    import fiftyone as fo

    return [
        {
            "id": sample["suspects_id"],
            "suggested": sample["suggested"].label,
            "confidence": sample["suggested"].confidence,
            "suspicion": sample["mistakenness"],
            "flagged": "suspect" in sample.tags,
        }
        for sample in map(fo.Sample.from_dict, json.loads(path.read_text())["samples"])
    ]


def labelbox(path: Path) -> Understood:
    """As its uploads are checked; and as its own client writes the same."""
    from labelbox.data.annotation_types import ClassificationAnnotation, ClassificationAnswer, Label, Radio
    from labelbox.data.serialization import NDJsonConverter
    from labelbox.data.serialization.ndjson.classification import NDRadio

    understood = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        found = NDRadio(**row)
        answer = ClassificationAnswer(name=found.answer.name, confidence=found.answer.confidence)
        same = ClassificationAnnotation(name=found.name, value=Radio(answer=answer))
        (written,) = NDJsonConverter.serialize(
            [Label(data={"global_key": found.data_row.global_key}, annotations=[same])]
        )
        assert {**written, "uuid": row["uuid"]} == row
        understood.append(
            {
                "id": found.data_row.global_key,
                "suggested": found.answer.name,
                "confidence": found.answer.confidence,
            }
        )
    return understood


def argilla(path: Path) -> Understood:
    """As `dataset.records.from_json` does."""
    from argilla.records._io import JsonIO

    understood = []
    for record in JsonIO._records_from_json(path):  # a dataset to call it on needs a server
        (suggestion,) = record.suggestions
        understood.append(
            {
                "id": record.id,
                "suggested": suggestion.value,
                "confidence": suggestion.score,
                "suspicion": record.metadata["suspicion"],
            }
        )
    return understood


def cvat(path: Path) -> Understood:
    """As its client checks the body of a request, once the job is added."""
    from cvat_sdk.api_client.models import IssueWriteRequest

    requests = [IssueWriteRequest(**body, job=1) for body in json.loads(path.read_text())]
    return [{"frame": one.frame, "message": one.message, "corners": len(one.position)} for one in requests]


TOOLS: dict[str, Callable[[Path], Understood]] = {
    "fiftyone": fiftyone,
    "labelbox": labelbox,
    "argilla": argilla,
    "cvat": cvat,
}

if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps(TOOLS[sys.argv[1]](Path(sys.argv[2]))))
