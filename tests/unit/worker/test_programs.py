"""Exported programs: they give what their network gives, and nothing in a file is ever run but arithmetic."""

import importlib.util
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from service.domain.errors import Invalid, SuspectsError, UnreadableType
from service.domain.operators import CHECKS, SIZE_OPERATORS, TENSOR_OPERATORS
from service.domain.program_parser import parse_program
from service.store.programs import ProgramFile
from tests.unit.worker.networks import IMAGES, OTHER, SIDE
from tests.unit.worker.programs import Small, export, made, sample, tampered
from worker.backbones import exported_program
from worker.backbones.exported_program import open_body

FAMILIES = [
    *((family, False) for family in ("small", *IMAGES, *OTHER)),
    *((family, True) for family in ("small", "resnet", "vit")),
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(made("small"), sample("small"), tmp_path_factory.mktemp("small") / "small.pt2")


@pytest.mark.slow
@pytest.mark.parametrize(("family", "decompose"), FAMILIES)
def test_what_enters_the_last_layer_is_what_enters_it_in_the_network(
    family: str, decompose: bool, tmp_path: Path
) -> None:
    network: Any = made(family)
    path = export(network, sample(family), tmp_path / "network.pt2", decompose=decompose)
    body = open_body(path, None).eval()
    for rows in (2, 5):
        inputs = sample(family, rows)
        with torch.no_grad():
            torch.testing.assert_close(body(inputs), network.activations(inputs), rtol=1e-4, atol=1e-5)


def test_a_table_s_program_ends_before_the_layer_that_is_named(tmp_path: Path) -> None:
    network: Any = made("table")
    path = export(network, sample("table"), tmp_path / "table.pt2")
    inputs = sample("table", 7)
    for name, before in (("1", network[:1]), ("3", network[:3])):
        torch.testing.assert_close(open_body(path, name)(inputs), before(inputs))
    with pytest.raises(Invalid, match="2 is no linear layer of it; there are 1, 3"):
        open_body(path, "2")


def test_a_program_for_batches_of_one_size_takes_any_number(tmp_path: Path) -> None:
    network: Any = made("small")
    body = open_body(export(network, sample("small", 4), tmp_path / "four.pt2", any_batch=False), None)
    for rows in (1, 4, 6):
        inputs = sample("small", rows)
        torch.testing.assert_close(body(inputs), network.activations(inputs))


def test_a_program_is_trained_as_its_network_is(small: Path) -> None:
    network: Any = made("small")
    body: Any = open_body(small, None)
    inputs = sample("small", 5)
    wanted = torch.autograd.grad(network.activations(inputs).square().sum(), network.conv.weight)
    found = torch.autograd.grad(body(inputs).square().sum(), body.p_conv_weight)
    torch.testing.assert_close(found, wanted)
    assert {name for name, _ in body.named_parameters()} == {
        f"p_{layer}_{part}" for layer in ("conv", "norm", "hidden") for part in ("weight", "bias")
    }


def test_two_passes_give_the_same(small: Path) -> None:
    body, inputs = open_body(small, None), sample("small")
    assert torch.equal(body(inputs), body(inputs))
    assert torch.equal(inputs, sample("small"))


class Sums(nn.Module):
    """Of what it is given, scaled in place or not."""

    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place
        self.scale = nn.Parameter(torch.full((5,), 3.0))
        self.fc = nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = x.mul_(2.0).sub_(0.5) if self.in_place else x.mul(2.0).sub(0.5)
        logits: torch.Tensor = self.fc(scaled * self.scale)
        return logits


def test_a_program_that_works_in_place_gives_the_same_and_leaves_its_input_as_it_was(tmp_path: Path) -> None:
    bodies: list[Any] = [
        open_body(export(Sums(in_place=one), sample("table"), tmp_path / f"{one}.pt2"), None) for one in (True, False)
    ]
    inputs = sample("table", 4)
    found, wanted = (body(inputs) for body in bodies)
    assert torch.equal(inputs, sample("table", 4))
    assert torch.equal(found, wanted)
    gradients = [torch.autograd.grad(body(inputs).sum(), body.p_scale)[0] for body in bodies]
    assert torch.equal(*gradients)
    assert torch.equal(inputs, sample("table", 4))


def test_a_program_that_writes_into_a_view_of_what_it_stores_gives_the_same_each_time(tmp_path: Path) -> None:
    class Adding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("kept", torch.zeros(2, 5))
            self.fc = nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            part = self.get_buffer("kept")[0]
            part.add_(1.0)
            logits: torch.Tensor = self.fc(x + part)
            return logits

    body = open_body(export(Adding(), sample("table"), tmp_path / "adding.pt2"), None)
    for _ in range(3):
        torch.testing.assert_close(body(sample("table")), sample("table") + 1.0)


def test_weights_that_share_storage_or_are_turned_are_read_as_they_are(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = torch.randn(6, 8)
            self.part = nn.Parameter(whole[1:4, 2:7])
            self.turned = nn.Parameter(torch.randn(3, 5).t())
            self.fc = nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.fc(x @ self.turned @ self.part)
            return logits

    network = Tied()
    body = open_body(export(network, sample("table"), tmp_path / "tied.pt2"), None)
    inputs = sample("table", 4)
    torch.testing.assert_close(body(inputs), inputs @ network.turned @ network.part)


def test_every_operator_that_may_be_called_is_one_of_torch() -> None:
    lacking = [name for name in TENSOR_OPERATORS | CHECKS if not hasattr(torch.ops.aten, name)]
    assert lacking == []
    assert not SIZE_OPERATORS & {"attrgetter", "methodcaller", "itemgetter", "call"}


TARGETS = [
    "torch.ops.aten.from_file.default",
    "torch.ops.aten.relu.__class__",
    "torch.ops.aten.rand.default",
    "torch.ops.aten.empty_like.default",
    "torch.ops.higher_order.cond",
    "torch.ops.prims.device_put.default",
    "_operator.attrgetter",
    "builtins.eval",
    "os.system",
    "math.sqrt",
    "",
]


@pytest.mark.parametrize("target", TARGETS)
def test_other_operators_are_refused_and_named(target: str, small: Path, tmp_path: Path) -> None:
    def change(content: bytes) -> bytes:
        model = json.loads(content)
        nodes = model["graph_module"]["graph"]["nodes"]
        next(node for node in nodes if node["target"].endswith("tanh.default"))["target"] = target
        return json.dumps(model).encode()

    path = tampered(small, tmp_path / "other.pt2", {"models/model.json": change})
    with pytest.raises(Invalid, match=r"calls .* not among|no operator relu.__class__"):
        open_body(path, None)


class _Command:
    """What a pickle may hold: loading it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.mkdir, (self.folder,)


def test_pickles_in_the_archive_are_never_loaded(small: Path, tmp_path: Path) -> None:
    trap = tmp_path / "made by a pickle"
    poison = pickle.dumps(_Command(trap))
    path = tampered(small, tmp_path / "poisoned.pt2", {"sample_inputs/model.pt": lambda _: poison})
    assert open_body(path, None)(sample("small")).shape == (3, 6)

    def change(content: bytes) -> bytes:
        table = json.loads(content)
        table["config"]["conv.weight"]["use_pickle"] = True
        return json.dumps(table).encode()

    path = tampered(small, tmp_path / "weights.pt2", {"weights_config.json": change, "weight_0": lambda _: poison})
    with pytest.raises(Invalid, match=r"conv\.weight is stored as a pickle"):
        open_body(path, None)
    assert not trap.exists()


def test_a_network_that_was_exported_as_it_trains_is_refused(tmp_path: Path) -> None:
    training = Small().train()
    with pytest.raises(Invalid, match=r"exported as it trains|changes what it stores"):
        open_body(export(training, sample("small"), tmp_path / "training.pt2"), None)
    training.norm.eval()
    with pytest.raises(Invalid, match=r"exported as it trains \(dropout\).*model.eval\(\)"):
        open_body(export(training, sample("small"), tmp_path / "dropping.pt2"), None)


def test_attention_that_drops_out_is_refused(tmp_path: Path) -> None:
    class Attending(nn.Module):
        def __init__(self, dropout: float) -> None:
            super().__init__()
            self.dropout = dropout
            self.fc = nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows = x[:, None]
            found = nn.functional.scaled_dot_product_attention(rows, rows, rows, dropout_p=self.dropout)
            logits: torch.Tensor = self.fc(found[:, 0])
            return logits

    body = open_body(export(Attending(0.0), sample("table"), tmp_path / "whole.pt2"), None)
    torch.testing.assert_close(body(sample("table")), sample("table"))
    with pytest.raises(Invalid, match=r"drops out at random \(scaled_dot_product_attention\)"):
        open_body(export(Attending(0.5), sample("table"), tmp_path / "dropping.pt2"), None)


@pytest.mark.parametrize("track", [True, False])
def test_statistics_of_one_sample_are_taken_and_those_that_are_counted_on_are_not(track: bool, tmp_path: Path) -> None:
    network = nn.Sequential(nn.InstanceNorm2d(3, track_running_stats=track), nn.Flatten(), nn.Linear(3 * SIDE**2, 2))
    path = export(network.train(), sample("small"), tmp_path / "instances.pt2")
    if track:
        with pytest.raises(Invalid, match=r"exported as it trains|changes what it stores"):
            open_body(path, None)
    else:
        assert torch.equal(open_body(path, None)(sample("small")), network[:2](sample("small")))


@pytest.mark.parametrize("decompose", [True, False])
def test_a_weight_that_is_not_turned_has_a_row_for_each_number_that_goes_in(decompose: bool, tmp_path: Path) -> None:
    class Turned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(5, 4)
            self.middle = nn.ParameterDict({"weight": torch.ones(4, 3), "bias": torch.zeros(3)})
            self.later = nn.ParameterDict({"weight": torch.ones(3, 2)})
            self.last = nn.ParameterDict({"weight": torch.ones(2, 7)})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            middle = torch.addmm(self.middle["bias"], self.first(x), self.middle["weight"])
            return nn.functional.linear(middle @ self.later["weight"], self.last["weight"].t())

    path = export(Turned(), sample("table"), tmp_path / "turned.pt2", decompose=decompose)
    with ProgramFile(path) as file:
        layers = file.program().layers
    assert [(one.name, one.inside, one.outside) for one in layers] == [
        ("first", 5, 4),
        ("middle", 4, 3),
        ("later", 3, 2),
        ("last", 2, 7),
    ]


def test_operators_that_do_not_fit_together_are_named(small: Path, tmp_path: Path) -> None:
    def change(content: bytes) -> bytes:
        model = json.loads(content)
        nodes = model["graph_module"]["graph"]["nodes"]
        found = next(node for node in nodes if node["target"].endswith("conv2d.default"))
        found["inputs"][0]["arg"]["as_tensor"]["name"] = "p_fc_weight"
        return json.dumps(model).encode()

    body = open_body(tampered(small, tmp_path / "unlike.pt2", {"models/model.json": change}), None)
    with pytest.raises(Invalid, match="the exported program: conv2d fails: Expected 3D"):
        body(sample("small"))


def test_what_an_operator_says_of_its_arguments_can_be_sent(tmp_path: Path) -> None:
    network = nn.Sequential(nn.GELU(approximate="tanh"), nn.Linear(5, 2))
    path = export(network, sample("table"), tmp_path / "gelu.pt2")

    def change(content: bytes) -> bytes:
        return content.replace(b'"as_string": "tanh"', rb'"as_string": "\ud800\u0000"')

    body = open_body(tampered(path, tmp_path / "other.pt2", {"models/model.json": change}), None)
    with pytest.raises(Invalid, match="gelu fails") as caught:
        body(sample("table"))
    assert caught.value.detail.encode()
    assert "\0" not in caught.value.detail


@pytest.mark.parametrize("name", ["forward", "_run", "a.b", ""])
def test_no_tensor_takes_the_place_of_what_runs_the_program(name: str, small: Path, tmp_path: Path) -> None:
    def change(content: bytes) -> bytes:
        return content.replace(b'"p_conv_weight"', json.dumps(name).encode())

    path = tampered(small, tmp_path / "named.pt2", {"models/model.json": change})
    with pytest.raises(Invalid, match=f"no tensor can be called '{name}'"):
        open_body(path, None)


def test_archives_that_are_cut_or_of_another_kind_are_refused_with_the_reason(small: Path, tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Callable[[bytes], bytes | None]], str]] = [
        ({"weight_0": lambda content: content[:-4]}, "bytes of conv.weight are missing or cut short"),
        ({"weight_0": lambda _: None}, "bytes of conv.weight are missing or cut short"),
        ({"weights_config.json": lambda _: None}, "weights_config.json cannot be read"),
        ({"models/model.json": lambda content: content[:100]}, "models/model.json cannot be read"),
        ({"models/model.json": lambda _: b"[]"}, "not as torch writes it"),
    ]
    for number, (changes, reason) in enumerate(cases):
        with pytest.raises(Invalid, match=reason):
            open_body(tampered(small, tmp_path / f"{number}.pt2", changes), None)
    with pytest.raises(UnreadableType, match=r"no program of torch\.export"):
        open_body(tampered(small, tmp_path / "none.pt2", {"models/model.json": lambda _: None}), None)
    (tmp_path / "cut.pt2").write_bytes(small.read_bytes()[:900])
    with pytest.raises(UnreadableType, match="not a whole archive"):
        open_body(tmp_path / "cut.pt2", None)


def test_a_layer_that_sees_more_than_one_row_a_sample_is_refused(tmp_path: Path) -> None:
    class Places(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(1, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.fc(x[:, :, None])
            return logits.mean(1)

    body = open_body(export(Places(), sample("table"), tmp_path / "places.pt2"), None)
    with pytest.raises(Invalid, match=r"one row a sample is expected\. Name another layer"):
        body(sample("table"))


LEAVES: st.SearchStrategy[Any] = st.sampled_from(
    [None, -1, 3, 1e400, "x", "", True, [], {}, {"as_int": -5}, {"as_name": "nobody"}]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_other_description_is_refused_or_a_program(data: st.DataObject, small: Path) -> None:
    with ProgramFile(small) as file:
        model, weights, constants = file.descriptions()
    place: Any = data.draw(st.sampled_from([model["graph_module"], weights, model["graph_module"]["graph"]["nodes"]]))
    for _ in range(data.draw(st.integers(0, 8))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or not place[key]:
            break
        place = place[key]
    key = data.draw(st.sampled_from(list(place) if isinstance(place, dict) else list(range(len(place)))))
    if data.draw(st.booleans()):
        place[key] = data.draw(LEAVES)
    else:
        del place[key]
    try:
        found = parse_program(model, weights, constants)
    except SuspectsError:
        return
    assert found.layers is not None
    assert isinstance(found.given, str)


def test_what_no_later_call_needs_is_let_go(small: Path) -> None:
    body = open_body(small, None)
    made = {name for call in body._calls for name in call.results if name is not None}
    over = [name for names in body._over for name in names]
    assert sorted(over) == sorted(made - {body._entered})


def test_programs_run_on_a_torch_that_has_no_errors_of_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch, "AcceleratorError", raising=False)
    spec = importlib.util.find_spec(exported_program.__name__)
    assert spec is not None
    assert spec.loader is not None
    imported = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(imported)  # beside the one that other tests use
    assert torch.OutOfMemoryError in imported._MACHINE_ERRORS
