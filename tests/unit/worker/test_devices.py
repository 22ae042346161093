"""Where networks compute. Stand-ins for a GPU: tensors that have a shape and a device, and no values."""

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from service.domain.specs import ModelRequest, Training
from worker.data.shape import InputShape
from worker.influence.activations import record_outputs
from worker.influence.layer_gradients import LayerGradients, layer_names
from worker.machine.devices import CPU, NoSuchDevice, choose_device
from worker.models import build, head
from worker.training.loop import train

GPU = torch.device("cuda:0")
TRAINING = Training.model_validate(
    {
        "epochs": 1,
        "batch_size": 7,
        "learning_rate": 0.1,
        "optimizer": "sgd",
        "schedule": "constant",
        "momentum": 0.9,
        "weight_decay": 0.0,
        "seed": 0,
        "checkpoints": "all",
    }
)


def on_gpu(model: nn.Module, mode: FakeTensorMode) -> nn.Module:
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(mode.from_tensor(parameter.data).to(GPU))
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = mode.from_tensor(buffer).to(GPU)
    return model


def network(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    shapes = {
        "mlp": InputShape("tabular", numeric=5, cardinalities=(3,), bins=((0.0, 1.0),) * 5),
        "small_cnn": InputShape("image", image=(1, 16, 12), pixel_mean=(9.0,), pixel_deviation=(3.0,)),
        "text_transformer": InputShape("text", text=(50, 9)),
    }
    inputs: dict[str, tuple[Tensor, ...]] = {
        "mlp": (torch.randn(23, 5), torch.zeros(23, 1, dtype=torch.int64)),
        "small_cnn": (torch.zeros(23, 1, 16, 12, dtype=torch.uint8),),
        "text_transformer": (torch.ones(23, 9, dtype=torch.int64),),
    }
    return build(ModelRequest(name=name), shapes[name], 4, 0), inputs[name]


NAMES = ("mlp", "small_cnn", "text_transformer")


@pytest.mark.parametrize("name", NAMES)
def test_an_epoch_runs_where_the_model_is(name: str) -> None:
    model, inputs = network(name)
    # Every batch is done when the epoch's loss is read, which a tensor without values cannot give.
    with pytest.raises(RuntimeError, match="item"):
        train(
            model.to("meta"),
            inputs,
            torch.zeros(23, dtype=torch.int64),
            TRAINING,
            resume=None,
            after_epoch=lambda _state, _metrics: None,
        )


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_taken_where_the_model_is(name: str) -> None:
    model, inputs = network(name)
    meta = torch.device("meta")
    # Nothing can be copied from there to the CPU.
    with LayerGradients(model.to(meta), layer_names(model, head(model), "all"), None, meta) as layer_gradients:
        ran = layer_gradients.forward(inputs)
        found = ran.gradients(torch.zeros(23, dtype=torch.int64))
    assert ran.logits.is_meta
    assert len(found) > 2


@pytest.mark.parametrize("name", NAMES[:2])  # torch's attention asks for its CUDA build
def test_what_is_measured_comes_back_to_the_cpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = network(name)
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor)  # for which there is no driver
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        last = head(on_gpu(model, mode))
        activations, logits, inner = torch.empty(23, last.in_features), torch.empty(23, 4), list[Tensor]()
        record_outputs(model, last, inputs, activations, logits, inner)
    assert len(inner) == 1
    for tensor in (activations, logits, *inner):
        assert isinstance(tensor, FakeTensor)
        assert tensor.device == CPU


def test_without_a_gpu_auto_is_the_cpu_and_cuda_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert choose_device("auto", 3) == CPU
    with pytest.raises(NoSuchDevice, match="0 GPUs"):
        choose_device("cuda", 0)


def test_each_process_takes_the_next_gpu_unless_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert [choose_device("auto", process).index for process in range(5)] == [0, 1, 2, 0, 1]
    assert choose_device("cuda:2", 0).index == 2
    assert choose_device("cpu", 1) == CPU
    with pytest.raises(NoSuchDevice, match="cuda:3"):
        choose_device("cuda:3", 0)
