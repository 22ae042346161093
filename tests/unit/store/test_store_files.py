"""Files of datasets and jobs: evidence by sample, the tree they lie in."""

from pathlib import Path

import numpy as np
import pytest

from service.store import evidence
from service.store.blobs import Blobs
from service.store.evidence import Influential, SuspectWitnesses
from service.store.seal import seal_folder
from tests.builders import dataset_info, save_evidence

INFO = dataset_info()


def test_a_sample_gets_its_own_rows_of_every_array(blobs: Blobs) -> None:
    save_evidence(blobs, "job_1", INFO)
    found = evidence.load(blobs.evidence("job_1"), 4)
    assert found is not None
    assert found.epochs == [1, 2, 3]
    assert found.margin == [0.25, -0.5, -1.0]
    assert found.class_influence == {1: [2, 2, 2], 2: [-3, -3, -3]}
    assert found.supporting == [Influential(3, 0.75)]
    assert found.opposing == [Influential(4, -2.0), Influential(1, -1.0)]
    assert found.reference_dataset == INFO.id
    assert found.witnesses is None


def test_a_suspect_gets_its_influence_by_checkpoint_and_their_sum(blobs: Blobs) -> None:
    save_evidence(blobs, "job_1", INFO)
    found = evidence.load(blobs.evidence("job_1"), 5)
    assert found is not None
    assert found.supporting == [Influential(6, 2.5, [1, 2, -0.5])]
    assert found.opposing == [Influential(0, -4.5, [0.5, -2, -3]), Influential(3, -2, [0, -1, -1])]
    assert found.witnesses == SuspectWitnesses(0, 4, [1, 4, 3])


def test_evidence_of_an_old_version_has_sums_for_every_sample(blobs: Blobs) -> None:
    save_evidence(blobs, "job_1", INFO)
    for path in blobs.evidence("job_1").glob("suspect_*"):
        path.unlink()
    found = evidence.load(blobs.evidence("job_1"), 5)
    assert found is not None
    assert (found.supporting, found.witnesses) == ([Influential(3, 0.75)], None)


@pytest.mark.parametrize("position", [9, 11, 10**6])
def test_a_sample_that_was_not_ranked_has_no_evidence(blobs: Blobs, position: int) -> None:
    save_evidence(blobs, "job_1", INFO)
    assert evidence.load(blobs.evidence("job_1"), position) is None


def test_positions_with_gaps_are_told_apart(blobs: Blobs) -> None:
    save_evidence(blobs, "job_1", INFO)
    np.save(blobs.evidence("job_1") / "positions.npy", np.arange(9) * 2)
    seal_folder(blobs.evidence("job_1"))
    assert evidence.load(blobs.evidence("job_1"), 3) is None
    assert evidence.load(blobs.evidence("job_1"), 4) is not None


def test_a_job_without_evidence_has_none(blobs: Blobs) -> None:
    assert evidence.load(blobs.evidence("job_0"), 0) is None


def test_a_second_attempt_replaces_the_first(blobs: Blobs) -> None:
    folder = blobs.evidence("job_1")
    evidence.save(folder, {"left_over": np.zeros(1)}, [1], "ds_0")
    save_evidence(blobs, "job_1", INFO)
    assert not (folder / "left_over.npy").exists()
    assert not folder.with_name("evidence.part").exists()


def test_removing_stays_inside_the_tree(blobs: Blobs, tmp_path: Path) -> None:
    blobs.checkpoints("job_1")
    blobs.remove(blobs.job("job_1"))
    assert not blobs.job("job_1").exists()
    blobs.remove(blobs.job("job_1"))
    for outside in (tmp_path, blobs.home, blobs.home / ".." / "other"):
        with pytest.raises(ValueError, match="not inside"):
            blobs.remove(outside)


def test_a_tree_that_cannot_be_written_says_so(blobs: Blobs, tmp_path: Path) -> None:
    assert blobs.writable()
    (tmp_path / "file").touch()
    assert not Blobs(tmp_path / "file" / "home").writable()
