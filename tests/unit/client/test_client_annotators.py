"""Annotators of a data frame, from the submission to their numbers."""

import numpy as np

from tests.unit.client.test_client_forms import Finished, N, finished, frame, suspects
from usual_suspects import Client

__all__ = ["finished", "suspects"]  # fixtures


def test_a_column_of_a_frame_says_who_labelled(suspects: Client, finished: Finished) -> None:
    data = frame().assign(**{"who did it": np.array(["Ann", "Bob"])[np.arange(N) % 2]})
    job = finished(suspects.submit(data, label="kind", annotator="who did it"))
    assert "who did it" not in [one.name for one in job.view.dataset.features]
    found = job.annotators()
    flagged = [int(one.sample.id.removeprefix("row-")) for one in job.suspects(verdict="mislabeled")]
    assert {one.annotator: (one.labelled, one.doubted) for one in found.items} == {
        "Ann": (N // 2, sum(row % 2 == 0 for row in flagged)),
        "Bob": (N // 2, sum(row % 2 == 1 for row in flagged)),
    }
    assert found.not_known == 0
    assert len(job.annotators(limit=1).items) == 1
