"""The sample dataset over HTTP."""

import httpx

from service.actions.sample_dataset import SAMPLES


def test_the_sample_dataset_is_images_of_several_classes_and_is_stored_once(client: httpx.Client) -> None:
    first = client.post("/datasets/sample")
    found = first.json()
    assert (first.status_code, first.headers["Location"]) == (201, f"/datasets/{found['id']}")
    assert (found["modality"], found["rows"], len(found["classes"])) == ("image", SAMPLES, 6)
    assert min(found["class_counts"].values()) > SAMPLES / 12
    assert not found["warnings"]
    assert client.post("/datasets/sample").json() == found
    assert client.get("/datasets").json()["total"] == 1
