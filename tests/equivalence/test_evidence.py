"""The evidence of a job names the samples of the strongest influence, with its sign."""

import numpy as np
import pytest
import torch

from tests.equivalence.traces import CLASSES, world
from worker.data.glitches import plant
from worker.data.partition import Columns
from worker.job.preparation import JobSamples
from worker.job.ranking import influence_evidence

STRONGEST = 5


@pytest.mark.parametrize("kind", ["itself", "split"])
def test_supporting_samples_have_the_largest_and_opposing_samples_the_smallest_influence(kind: str) -> None:
    built = world(kind, 5)
    labels, known = torch.from_numpy(built.train.labels), torch.from_numpy(built.reference.labels)
    # Rows of the file: other numbers than those of the matrix.
    rows, reference_rows = torch.arange(built.n) + 100, torch.arange(len(known)) + 500
    columns = Columns(torch.arange(built.n), torch.ones(built.n)) if kind == "itself" else None
    names = [f"class {c}" for c in range(CLASSES)]
    samples = JobSamples(rows, plant((), labels, CLASSES, []), labels, reference_rows, known, columns, names)
    found = {name: array.numpy() for name, array in influence_evidence(samples, built.measured()).items()}
    source = (rows if kind == "itself" else reference_rows).numpy()
    for i in range(built.n):
        order = np.argsort(built.influence[i])
        for name, chosen in (("supporting", order[::-1][:STRONGEST]), ("opposing", order[:STRONGEST])):
            values = built.influence[i, chosen]
            there = values > 0 if name == "supporting" else values < 0
            assert found[name][i].tolist() == np.where(there, source[chosen], -1).tolist()
            np.testing.assert_allclose(found[f"{name}_values"][i], np.where(there, values, 0), rtol=1e-4, atol=1e-6)


def test_the_given_class_comes_first_then_those_that_the_sample_harms_most() -> None:
    built = world("split", 5)
    labels, known = torch.from_numpy(built.train.labels), torch.from_numpy(built.reference.labels)
    names = [f"class {c}" for c in range(CLASSES)]
    samples = JobSamples(
        torch.arange(built.n), plant((), labels, CLASSES, []), labels, torch.arange(len(known)), known, None, names
    )
    found = {name: array.numpy() for name, array in influence_evidence(samples, built.measured()).items()}
    for i, y in enumerate(built.train.labels):
        by_class = [built.influence[i, built.reference.labels == c].sum() for c in range(CLASSES)]
        order = sorted(range(CLASSES), key=lambda c: -np.inf if c == y else by_class[c])
        assert found["classes"][i].tolist() == order
        np.testing.assert_allclose(found["class_influence"][i].sum(0), np.array(by_class)[order], rtol=1e-3, atol=1e-5)
