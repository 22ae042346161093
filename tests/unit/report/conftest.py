"""The facts of a small job."""

import pytest

from service.actions.find import find_job
from service.report.facts import Facts
from service.report.gather import gather
from service.services import Services
from tests.builders import add_finished


@pytest.fixture
def facts(services: Services) -> Facts:
    """Of nine ranked rows of a table, two of which carry a wrong label."""
    info = add_finished(services.database, services.blobs)
    return gather(services, find_job(services, "job_1"), info, 0)
