"""Influence of a recording is that of its last layer: with a bias or without, of several logits or of one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.domain.dataset import DatasetInfo, DatasetSpec
from service.domain.resolve import resolve
from service.domain.specs import JobOptions
from service.ingest import Limits, ingest
from tests.builders import dataset_info
from usual_suspects.recorder import TraceRecorder
from worker.data.canonical import Canonical, open_canonical
from worker.influence.activations import Trace
from worker.influence.gradient_sources import LastLayerGradients
from worker.influence.pairs import PairwiseInfluence
from worker.job.recorded import open_recording
from worker.signals.density import _Directions
from worker.signals.witnesses import _influence, reference_pool

N, M, WIDTH, HIDDEN = 30, 11, 5, 7
RATES = (0.2, 0.05)


def samples(rows: int, seed: int, classes: int) -> tuple[Tensor, Tensor]:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(seed)), torch.arange(rows) % classes


def network(outputs: int, *, bias: bool, squeezed: bool = False) -> nn.Sequential:
    """`squeezed`: a single output without an axis of its own."""
    torch.manual_seed(4)
    head = nn.Linear(HIDDEN, outputs, bias=bias)
    return nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.ReLU(), head, *([nn.Flatten(0)] if squeezed else []))


def gradients(model: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    """Of the loss for all parameters of the last layer, one backward pass a sample, in float64."""
    double = model.double()
    rows = []
    for one, label in zip(x.double(), y, strict=True):
        z = double(one[None]).reshape(1, -1)
        if z.shape[1] == 1:
            loss = nn.functional.binary_cross_entropy_with_logits(z[0], label[None].double())
        else:
            loss = nn.functional.cross_entropy(z, label[None])
        rows.append(torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(double[2].parameters()))]))
    model.float()
    return torch.stack(rows)


class Recorded:
    """A recording of two checkpoints as the worker reads it, and what autograd says of the same."""

    def __init__(self, folder: Path, outputs: int, *, bias: bool, labels: Any = torch.int64, **options: Any) -> None:
        classes = max(2, outputs)
        (x, y), (known, known_y) = samples(N, 0, classes), samples(M, 1, classes)
        model = network(outputs, bias=bias, **options)
        self.expected = torch.zeros(N, M, dtype=torch.float64)
        reference = (known, known_y.to(labels))
        with TraceRecorder(model, (x, y.to(labels)), folder / "run.safetensors", reference=reference) as recorder:
            for rate in RATES:
                recorder.record(rate)
                self.gradients, known_gradients = gradients(model, x, y), gradients(model, known, known_y)
                self.expected += rate * self.gradients @ known_gradients.T
                with torch.no_grad():
                    for parameter in model.parameters():
                        parameter.add_(0.1)
        path = folder / "run.safetensors"
        found = ingest(path, path.name, DatasetSpec(), folder / "data", folder / "skipped", Limits())
        self.info: DatasetInfo = dataset_info(**{name: getattr(found, name) for name in found.__dataclass_fields__})
        dataset: Canonical = open_canonical(folder / "data")
        options_ = {"training": {"checkpoints": "all"}, "reference": {"split": "reference"}}
        opened = open_recording(resolve(JobOptions.model_validate(options_), self.info), dataset, folder / "scratch")
        assert opened.reference is not None
        for t in range(len(RATES)):
            opened.train.read_checkpoint(t)
            opened.reference.read_checkpoint(t)
        self.train: Trace = opened.train.trace
        self.reference: Trace = opened.reference.trace
        self.y, self.known_y = y, known_y

    def influence(self) -> Tensor:
        train, reference = LastLayerGradients(self.train), LastLayerGradients(self.reference)
        pairs = PairwiseInfluence(train, self.y, reference, self.known_y, RATES)
        return torch.cat([block.influence for block in pairs.blocks()]).double()


@pytest.mark.parametrize("bias", [True, False])
def test_influence_has_a_term_of_the_bias_where_the_layer_has_one(tmp_path: Path, bias: bool) -> None:
    case = Recorded(tmp_path, 3, bias=bias)
    assert case.info.recording is not None
    assert case.info.recording.bias is bias
    torch.testing.assert_close(case.influence(), case.expected, rtol=1e-4, atol=1e-6)
    pool = reference_pool(case.reference, case.known_y)
    evidence = _influence(case.train, case.y, pool, torch.arange(M)).sum(2).double()
    torch.testing.assert_close(evidence, case.expected, rtol=1e-4, atol=1e-6)
    unit = nn.functional.normalize(case.gradients)
    directions = _Directions.of(case.train, 1, case.y, slice(None))
    torch.testing.assert_close(directions.cosines(directions).double(), unit @ unit.T, rtol=1e-4, atol=1e-5)
    some = case.train.rows(torch.arange(4))
    assert some.bias is bias
    assert some.inputs(0).shape == (4, HIDDEN + bias)


@pytest.mark.parametrize("squeezed", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("labels", [torch.float32, torch.int64, torch.bool])
def test_a_single_logit_is_two_columns_whose_influence_is_twice_its_own(
    tmp_path: Path, bias: bool, squeezed: bool, labels: Any
) -> None:
    case = Recorded(tmp_path, 1, bias=bias, squeezed=squeezed, labels=labels)
    assert case.info.classes == ["0", "1"]
    assert not case.train.logits[:, :, 0].any()
    # The gradient of the one logit is that of the second column, and its negative that of the first.
    torch.testing.assert_close(case.influence(), 2 * case.expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.LogSigmoid(), nn.Identity()])
def test_the_output_of_a_single_logit_may_be_a_probability(tmp_path: Path, last: nn.Module) -> None:
    model = nn.Sequential(nn.Linear(WIDTH, 1), last)
    assert TraceRecorder(model, samples(N, 0, 2), tmp_path / "run").head is model[0]


def test_an_output_that_is_another_function_of_a_single_logit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not that of its last Linear layer"):
        TraceRecorder(nn.Sequential(nn.Linear(WIDTH, 1), nn.Tanh()), samples(N, 0, 2), tmp_path / "run")


@pytest.mark.parametrize("label", [0.7, 2.0, -1.0])
def test_labels_of_a_single_logit_are_0_and_1(tmp_path: Path, label: float) -> None:
    x, y = samples(N, 0, 2)
    labels = y.float()
    labels[20] = label
    with pytest.raises(ValueError, match=f"labels, sample 20: {label:g} is no class"):
        TraceRecorder(network(1, bias=True), (x, labels), tmp_path / "run")


class Tied(nn.Module):
    """The last layer's weight is also that of the layer before it."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.before.weight = self.head.weight

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        result: Tensor = self.head(self.before(x))
        return result


def test_a_last_layer_that_shares_its_weight_is_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="layer before shares parameters with the last layer"):
        TraceRecorder(Tied(), samples(N, 0, 2), tmp_path / "run")
