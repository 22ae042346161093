"""Networks over HTTP: what is taken, what is refused and why, and how jobs name them."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import save
from torch import nn

from service.ingest import confined
from service.services import Services
from tests.builders import CSV, add_dataset, add_finished, form
from tests.unit.worker.programs import Small, export, made, sample, tampered

NUMBERS = b"a,b,c,d,e,animal\n" + b"".join(
    b"%d.25,%d.5,%d.1,%d.7,%d.3,%s\n" % (i % 11, i % 7, i % 5, i % 9, i % 13, (b"cat", b"dog", b"eel")[i % 3])
    for i in range(60)
)
STATE = save({"layers.0.weight": torch.ones(3, 4), "layers.0.bias": torch.zeros(3)})


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return export(made("table"), sample("table"), tmp_path_factory.mktemp("program") / "table.pt2").read_bytes()


def post(client: httpx.Client, content: bytes, filename: str = "ours.pt2", **spec: Any) -> httpx.Response:
    return client.post("/networks", **form(content, filename, spec or None))


def job(client: httpx.Client, dataset: str, name: str, params: dict[str, Any]) -> httpx.Response:
    return client.post("/jobs", json={"dataset": dataset, "model": {"name": name, "params": params}})


@pytest.fixture
def table(client: httpx.Client) -> str:
    return str(client.post("/datasets", **form(NUMBERS)).json()["id"])


def test_a_program_is_told_with_its_input_and_its_layers(client: httpx.Client, program: bytes) -> None:
    answer = post(client, program)
    assert answer.status_code == 201
    told = answer.json()
    assert answer.headers["Location"] == f"/networks/{told['id']}"
    assert client.get(f"/networks/{told['id']}").json() == told
    assert (told["name"], told["kind"], told["bytes"], told["tensors"]) == ("ours", "program", len(program), 6)
    assert told["numbers"] == sum(one.numel() for one in made("table").parameters())
    assert (told["input"], told["input_type"]) == ([None, 5], "float32")
    assert told["layers"] == [
        {"name": "1", "in_features": 5, "out_features": 8},
        {"name": "3", "in_features": 8, "out_features": 3},
    ]


def test_weights_are_told_with_how_many_they_are(client: httpx.Client) -> None:
    told = post(client, STATE, "w.safetensors", name="mine").json()
    assert (told["name"], told["kind"], told["tensors"], told["numbers"]) == ("mine", "state", 2, 15)
    assert (told["input"], told["layers"]) == (None, [])


def test_a_network_is_read_in_a_process_of_its_own(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_here(*_: object) -> None:
        raise AssertionError("the process of the API reads it")

    monkeypatch.setattr(confined, "network_content", read_here)
    assert post(client, STATE, "w.safetensors").status_code == 201


@pytest.mark.parametrize("inner", [b"[],", b'"a",'])
def test_weights_with_a_long_header_are_refused_before_it_is_parsed(client: httpx.Client, inner: bytes) -> None:
    header = b'{"a":[' + inner * 500_000 + b"[]]}"
    answer = post(client, len(header).to_bytes(8, "little") + header, "w.safetensors")
    assert answer.status_code == 413
    assert "1,048,576" in answer.json()["detail"]


def test_the_same_bytes_are_the_same_network(client: httpx.Client, services: Services) -> None:
    first, again = post(client, STATE), post(client, STATE, "other name")
    assert first.json() == again.json()
    other = post(client, save({"a": torch.ones(2)})).json()
    listed = client.get("/networks", params={"limit": 1})
    assert [one["id"] for one in listed.json()["items"]] == [other["id"]]
    assert listed.json()["total"] == 2
    rest = client.get("/networks", params={"cursor": listed.json()["next"]}).json()
    assert [one["id"] for one in rest["items"]] == [first.json()["id"]]
    assert len(list(services.blobs.networks.iterdir())) == 2
    assert list(services.blobs.uploads.iterdir()) == []


def test_an_idempotency_key_stands_for_one_upload(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "k"}
    first = client.post("/networks", headers=headers, **form(STATE, "a"))
    assert client.post("/networks", headers=headers, **form(STATE, "a")).json() == first.json()
    assert client.post("/networks", headers=headers, **form(save({"b": torch.ones(1)}), "a")).status_code == 422


def _torch_file() -> bytes:
    file = io.BytesIO()
    torch.save(nn.Linear(2, 2).state_dict(), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_torch_file(), "a file of torch.save is a pickle"),
        (pickle.dumps({"a": 1}), "the file is a pickle"),
        (b"PK\x03\x04 and nothing more", "not a whole archive"),
        (CSV, "of no kind that is read here; weights as safetensors"),
        (b"", "of no kind that is read here"),
        (save({}), "holds no tensor"),
    ],
)
def test_pickles_and_other_files_are_refused_by_content(
    content: bytes, reason: str, client: httpx.Client, services: Services
) -> None:
    answer = post(client, content, "weights.safetensors")
    assert answer.status_code == 415
    assert reason in answer.json()["detail"]
    assert not services.blobs.networks.exists()
    assert list(services.blobs.uploads.iterdir()) == []


def test_broken_weights_name_the_array(client: httpx.Client) -> None:
    answer = post(client, STATE[:-20])
    assert answer.status_code == 400
    assert "'layers.0.weight' is cut short" in answer.json()["detail"]


def test_jobs_echo_the_network_and_keep_it_from_being_deleted(
    client: httpx.Client, program: bytes, table: str, services: Services
) -> None:
    network = post(client, program).json()["id"]
    answer = job(client, table, "exported", {"network": network, "layer": "1"})
    assert answer.status_code == 202
    spec = answer.json()["spec"]
    assert spec["model"]["params"] == {
        "network": network,
        "layer": "1",
        "trainable_blocks": 0,
        "head": "linear",
        "width": 256,
        "dropout": 0.0,
        "pixel_mean": None,
        "pixel_deviation": None,
    }
    refused = client.delete(f"/networks/{network}")
    assert refused.status_code == 409
    assert refused.json()["jobs"] == [answer.json()["id"]]
    client.post(f"/jobs/{answer.json()['id']}/cancel")
    assert client.delete(f"/jobs/{answer.json()['id']}").status_code == 204
    assert client.delete(f"/networks/{network}").status_code == 204
    assert client.get(f"/networks/{network}").status_code == 404
    assert list(services.blobs.networks.iterdir()) == []


def test_weights_are_trained_as_their_architecture_is(client: httpx.Client, table: str) -> None:
    network = post(client, STATE).json()["id"]
    params = {"network": network, "architecture": "tabm", "params": {"members": 4}}
    spec = job(client, table, "safetensors", params).json()["spec"]
    plain = job(client, table, "tabm", {"members": 4}).json()["spec"]
    assert spec["training"] == plain["training"]
    assert spec["model"]["params"]["params"] == plain["model"]["params"]
    assert spec["model"]["params"]["head"] == "keep"


@pytest.mark.parametrize(
    ("name", "params", "field", "reason"),
    [
        ("exported", {}, "network", "Field required"),
        ("exported", {"network": "../../etc/passwd"}, "network", "String should match pattern"),
        ("exported", {"network": "{state}"}, "network", "is a state; model exported begins with a program"),
        ("safetensors", {"network": "{program}", "architecture": "mlp"}, "network", "is a program"),
        ("exported", {"network": "{program}", "layer": "9"}, "layer", "is no linear layer of it; it has 1, 3"),
        ("exported", {"network": "{program}", "trainable_blocks": 3}, "trainable_blocks", "Input should be 0 or 'all'"),
        ("safetensors", {"network": "{state}", "architecture": "resnet20"}, "architecture", "for tabular data one of"),
        ("safetensors", {"network": "{state}", "architecture": "nothing"}, "architecture", "for tabular data one of"),
        ("safetensors", {"network": "{state}", "architecture": "mlp", "params": {"width": 0}}, "width", "greater than"),
        ("safetensors", {"network": "{state}", "architecture": "trace"}, "architecture", "for tabular data one of"),
    ],
)
def test_what_does_not_fit_names_the_field(
    name: str, params: dict[str, Any], field: str, reason: str, client: httpx.Client, table: str, program: bytes
) -> None:
    ids = {"{state}": post(client, STATE).json()["id"], "{program}": post(client, program).json()["id"]}
    answer = job(client, table, name, {key: ids.get(str(value), value) for key, value in params.items()})
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["loc"][:2] == ["model", "params"]
    assert fault["loc"][-1] == field
    assert reason in fault["msg"]


def test_a_network_that_is_not_there_is_named(client: httpx.Client, table: str) -> None:
    answer = job(client, table, "exported", {"network": "net_none"})
    assert answer.status_code == 404
    assert answer.json()["errors"] == [{"loc": ["model", "params", "network"], "msg": "no network net_none"}]


def test_columns_that_are_no_numbers_are_named(client: httpx.Client, services: Services, program: bytes) -> None:
    network = post(client, program).json()["id"]
    info = add_dataset(services.database, "ds_words", services.blobs)
    answer = job(client, info.id, "exported", {"network": network})
    assert answer.status_code == 422
    assert "colour (categorical)" in answer.json()["detail"]


def test_a_program_of_another_shape_is_refused(client: httpx.Client, tmp_path: Path, program: bytes) -> None:
    images = client.post("/datasets", **form(NUMBERS.replace(b"a,b", b"a2,b"), "wide.csv")).json()
    picture = export(made("small"), sample("small"), tmp_path / "small.pt2").read_bytes()
    network = post(client, picture).json()["id"]
    answer = job(client, images["id"], "exported", {"network": network})
    assert "takes any x 3 x 32 x 32 of float32; for tabular data samples x numbers" in answer.json()["detail"]
    narrow = client.post("/datasets", **form(NUMBERS, spec={"exclude": ["a"]})).json()["id"]
    answer = job(client, narrow, "exported", {"network": post(client, program).json()["id"]})
    assert "takes 5 numbers a sample, the dataset has 4 columns" in answer.json()["detail"]


def test_a_program_of_images_is_given_as_many_colours_as_it_takes(
    client: httpx.Client, services: Services, tmp_path: Path
) -> None:
    picture = export(made("small"), sample("small"), tmp_path / "small.pt2").read_bytes()
    network = post(client, picture).json()["id"]
    info = add_dataset(services.database, "ds_pictures", services.blobs, rows=60, modality="image", features=[])
    for name in ("pixel_mean", "pixel_deviation"):
        assert job(client, info.id, "exported", {"network": network, name: [0.5]}).status_code == 202
        assert job(client, info.id, "exported", {"network": network, name: [0.5, 0.4, 0.3]}).status_code == 202
        answer = job(client, info.id, "exported", {"network": network, name: [0.5, 0.4]})
        assert answer.status_code == 422
        (fault,) = answer.json()["errors"]
        assert fault["loc"] == ["model", "params", name]
        assert fault["msg"] == "has 2 numbers; the network takes 3 colours: give 1 or 3"


def test_a_program_of_images_that_are_too_large_is_refused(
    client: httpx.Client, services: Services, tmp_path: Path
) -> None:
    info = add_dataset(services.database, "ds_pictures", services.blobs, rows=60, modality="image", features=[])
    for side, status in ((1024, 202), (1025, 422)):
        path = export(Small().eval(), torch.zeros(2, 3, 8, side), tmp_path / f"{side}.pt2")
        answer = job(client, info.id, "exported", {"network": post(client, path.read_bytes()).json()["id"]})
        assert answer.status_code == status
    assert "takes any x 3 x 8 x 1025 of float32" in answer.json()["detail"]
    assert "a size that is fixed, up to 1024" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("pixel_mean", "1e999"),
        ("pixel_mean", "1e7"),
        ("pixel_deviation", "0"),
        ("pixel_deviation", "1e-320"),
        ("pixel_deviation", "-1"),
        ("pixel_deviation", "1e999"),
    ],
)
def test_colours_are_scaled_by_numbers_that_can_be(
    name: str, written: str, client: httpx.Client, table: str, program: bytes
) -> None:
    network = post(client, program).json()["id"]
    content = f'{{"dataset": "{table}", "model": {{"name": "exported", "params": {{"network": "{network}", "{name}": [{written}]}}}}}}'
    answer = client.post("/jobs", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    (fault,) = answer.json()["errors"]
    assert fault["loc"] == ["model", "params", name, 0]


@pytest.mark.parametrize("written", [rb"\ud800", rb"\u0000"])
def test_names_that_no_answer_can_hold_are_refused(
    written: bytes, client: httpx.Client, program: bytes, tmp_path: Path
) -> None:
    def change(content: bytes) -> bytes:
        return content.replace(b'"1.weight"', b'"%s.weight"' % written)

    (tmp_path / "whole.pt2").write_bytes(program)
    path = tampered(tmp_path / "whole.pt2", tmp_path / "named.pt2", {"model.json": change, "config.json": change})
    assert post(client, path.read_bytes()).status_code == 422
    assert client.get("/networks").json()["items"] == []


def test_a_program_that_expands_out_of_all_proportion_is_refused(
    client: httpx.Client, program: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.pt2"
    path.write_bytes(program)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table/extra/nothing", bytes(2**28 + 2**20))
    answer = post(client, path.read_bytes())
    assert answer.status_code == 413
    assert "compression bomb" in answer.json()["detail"]


def test_the_weights_of_a_job_are_given_as_they_lie(client: httpx.Client, services: Services) -> None:
    add_finished(services.database, services.blobs)
    links = client.get("/jobs/job_1").json()["links"]
    assert client.get(links["model"]).status_code == 404
    services.blobs.model("job_1").write_bytes(STATE)
    answer = client.get(links["model"])
    assert answer.content == STATE
    assert answer.headers["Content-Disposition"] == 'attachment; filename="job_1.safetensors"'
    assert post(client, answer.content).json()["tensors"] == 2
