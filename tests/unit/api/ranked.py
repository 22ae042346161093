"""The ranking that the tests of pages and of files read."""

from typing import Any

from service.services import Services
from tests.builders import add_finished, ranking

ROWS = 41
URL = "/jobs/job_1/suspects"


def ranked_rows(services: Services) -> list[dict[str, Any]]:
    """A completed job with ties and held-out samples: its ranked rows as they were written, most suspicious first."""
    info = add_finished(services.database, services.blobs, rows=54, splits={"train": ROWS, "test": 13})
    rows = ranking(info).to_pylist()
    return sorted(rows, key=lambda row: (-row["mislabeled"], row["index"]))
