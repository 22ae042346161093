"""The report that tests read, as a page and as Markdown."""

import httpx

from service.services import Services
from service.store import rankings
from tests.builders import COMPUTED, summaries
from tests.pages import Page, read, read_markdown

ROWS = 41
URL = "/jobs/job_1/report"


def html(client: httpx.Client, url: str = URL) -> Page:
    response = client.get(url)
    assert response.status_code == 200, response.text
    return read(response.text)


def markdown(client: httpx.Client, url: str = URL) -> Page:
    response = client.get(url, params={"format": "md"})
    assert response.status_code == 200, response.text
    return read_markdown(response.text)


def plant(services: Services, job_id: str = "job_1", kinds: tuple[str, ...] = ("duplicate", "mislabeled_pair")) -> None:
    """Let a worker say how well each signal found what was planted."""
    told = summaries(COMPUTED, ROWS)
    for place, name in enumerate(COMPUTED):
        found = {
            kind: {
                "planted": 3 + number,
                "precision": 0.25,
                "recall": 0.5,
                "f1": 1 / 3,
                "authors_f1": 0.3,
                "average_precision": round(0.9 - place / 50 - number / 10, 4),
                "auroc": 0.875,
            }
            for number, kind in enumerate(("all", *kinds))
        }
        told[name] |= {"detection": found.pop("all"), "detection_by_kind": found}
    with services.database.write() as connection:
        rankings.save_summaries(connection, job_id, told)


def rows_of(page: Page) -> list[tuple[str, str]]:
    """The samples of a page and what is said of each, on one line."""
    tables = [table[1:] for table in page.tables if table[0][:2] == ["Rank", "Sample"]]
    listed = page.samples or [(row[1].strip(), " ".join(row)) for table in tables for row in table]
    return [(sample, " ".join(said.split())) for sample, said in listed]
