"""The factored influence equals what slow and obvious code computes, and what captum computes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from captum.influence import TracInCP, TracInCPFast
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset

from tests.equivalence.pairs import others, pair_sums
from worker.influence import activations, gradients
from worker.influence.activations import ActivationRecorder, Trace, logit_errors
from worker.influence.class_segments import ClassSegments
from worker.influence.gradient_sources import LastLayerGradients
from worker.influence.gradients import Outer
from worker.influence.pair_sums import PairSums, largest
from worker.influence.pairs import PairwiseInfluence
from worker.influence.pairs_counted import PairsCounted
from worker.influence.tracin import CheckpointInfluence, checkpoint_influence, class_gradient_sums, gradient_norms

RATES = (0.1, 0.05, 0.02)


class Net(nn.Module):
    """A small network whose last layer is called head."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, width), nn.ReLU())
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        result: Tensor = self.head(self.body(x))
        return result


class Case:
    """A network with three checkpoints, training rows and other reference rows; no two sizes are equal."""

    def __init__(self, samples: int, references: int, classes: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.classes = classes
        self.net = Net(7, 5, classes)
        self.states = [
            {name: torch.randn(value.shape, generator=generator) for name, value in self.net.state_dict().items()}
            for _ in RATES
        ]
        self.x = torch.randn(samples, 7, generator=generator)
        self.y = torch.randint(0, classes, (samples,), generator=generator)
        self.reference_x = torch.randn(references, 7, generator=generator)
        self.reference_y = torch.randint(0, classes, (references,), generator=generator)

    def trace(self, x: Tensor, scratch: Path) -> Trace:
        """What the product records."""
        recorder = ActivationRecorder(self.net, self.net.head, (x,), RATES, scratch)
        for step, state in enumerate(self.states):
            self.net.load_state_dict(state)
            recorder.read_checkpoint(step)
        return recorder.trace

    def saved(self, folder: Path) -> tuple[list[str], Callable[[nn.Module, str], float]]:
        """The checkpoints as files, and how to load one, which gives its learning rate: what captum asks for."""
        files = [str(folder / f"{number}.pt") for number in range(len(RATES))]
        for path, state in zip(files, self.states, strict=True):
            torch.save(state, path)

        def load(model: nn.Module, path: str) -> float:
            model.load_state_dict(torch.load(path))
            return RATES[files.index(path)]

        return files, load

    def gradients(self, x: Tensor, y: Tensor, state: dict[str, Tensor]) -> Tensor:
        """One backward pass a sample; the gradient of weight and bias of the last layer, flat, in float64."""
        net = Net(7, 5, self.classes).double()
        net.load_state_dict(state)
        rows = []
        for sample, label in zip(x.double(), y, strict=True):
            loss = cross_entropy(net(sample[None]), label[None])
            rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(net.head.parameters()))]))
        return torch.stack(rows)

    def influence(self) -> Tensor:
        """`sum_t eta_t <g_i, g_j>`, as the definition reads."""
        return sum(
            (
                rate * self.gradients(self.x, self.y, s) @ self.gradients(self.reference_x, self.reference_y, s).T
                for rate, s in zip(RATES, self.states, strict=True)
            ),
            torch.zeros(len(self.x), len(self.reference_x), dtype=torch.float64),
        )


def close(got: Tensor, expected: Tensor) -> bool:
    """Equal to 1e-5 of the scale of what is expected."""
    return bool((got.double() - expected.double()).abs().max() <= 1e-5 * expected.abs().max().clamp(min=1e-12))


def blocks(case: Case, folder: Path) -> Tensor:
    train, reference = case.trace(case.x, folder / "a"), case.trace(case.reference_x, folder / "b")
    return torch.cat(
        [block.influence for block in last_layer_pairs(train, case.y, reference, case.reference_y).blocks()]
    )


def last_layer_sums(
    train: Trace, y: Tensor, reference: Trace, reference_y: Tensor, classes: int, counted: PairsCounted | None = None
) -> tuple[PairSums, list[CheckpointInfluence]]:
    return pair_sums(LastLayerGradients(train), y, LastLayerGradients(reference), reference_y, RATES, classes, counted)


def last_layer_pairs(train: Trace, y: Tensor, reference: Trace, reference_y: Tensor) -> PairwiseInfluence:
    return PairwiseInfluence(LastLayerGradients(train), y, LastLayerGradients(reference), reference_y, RATES)


@settings(max_examples=20, deadline=None)
@given(samples=st.integers(1, 40), references=st.integers(1, 23), classes=st.integers(2, 6), seed=st.integers(0, 99))
def test_influence_equals_inner_products_of_per_sample_gradients(
    samples: int, references: int, classes: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    case = Case(samples, references, classes, seed)
    assert close(blocks(case, tmp_path_factory.mktemp("trace")), case.influence())


def test_influence_equals_captum_tracincp(tmp_path: Path) -> None:
    case = Case(31, 17, 4)
    files, load = case.saved(tmp_path)
    peer = TracInCP(
        case.net,
        TensorDataset(case.x, case.y),
        files,
        checkpoints_load_func=load,
        layers=["head"],
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=8,
        sample_wise_grads_per_batch=True,
    )
    theirs = peer.influence((case.reference_x, case.reference_y)).T
    assert close(blocks(case, tmp_path), theirs.detach())
    assert close(own_influence(case, tmp_path / "self"), peer.self_influence())


def test_influence_without_the_bias_equals_captum_tracincp_fast(tmp_path: Path) -> None:
    case = Case(31, 17, 4)
    files, load = case.saved(tmp_path)
    peer = TracInCPFast(
        case.net,
        case.net.head,
        TensorDataset(case.x, case.y),
        files,
        checkpoints_load_func=load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=8,
    )
    theirs = peer.influence((case.reference_x, case.reference_y)).T
    bias = sum(
        (
            rate * logit_errors(a.logits[t], case.y) @ logit_errors(b.logits[t], case.reference_y).T
            for a, b in [(case.trace(case.x, tmp_path / "a"), case.trace(case.reference_x, tmp_path / "b"))]
            for t, rate in enumerate(RATES)
        ),
        torch.zeros(31, 17),
    )
    assert close(blocks(case, tmp_path) - bias, theirs.detach())


def test_self_influence_is_the_diagonal(tmp_path: Path) -> None:
    case = Case(13, 13, 3)
    case.reference_x, case.reference_y = case.x, case.y
    assert close(own_influence(case, tmp_path), case.influence().diagonal())


def own_influence(case: Case, scratch: Path) -> Tensor:
    source = LastLayerGradients(case.trace(case.x, scratch))
    found = [
        checkpoint_influence(source, t, case.y, class_gradient_sums(source, t, case.y, case.classes), rate)
        for t, rate in enumerate(RATES)
    ]
    return torch.stack([one.self_influence for one in found]).sum(0)


@pytest.mark.parametrize("few", [0, 100])
@pytest.mark.parametrize("block", [7, 8192])
def test_class_sums_equal_sums_over_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int, block: int
) -> None:
    monkeypatch.setattr(gradients, "_FEW", few)
    monkeypatch.setattr(LastLayerGradients, "block", block)
    case = Case(29, 19, 4)
    train = LastLayerGradients(case.trace(case.x, tmp_path / "a"))
    reference = LastLayerGradients(case.trace(case.reference_x, tmp_path / "b"))
    total = torch.zeros(29, 4)
    for t, rate in enumerate(RATES):
        total += checkpoint_influence(
            train, t, case.y, class_gradient_sums(reference, t, case.reference_y, 4), rate
        ).class_influence
    pairs = case.influence()
    expected = torch.stack([pairs[:, case.reference_y == label].sum(1) for label in range(4)], 1)
    assert close(total, expected)


@pytest.mark.parametrize("margin", [5.0, 20.0, 40.0, 60.0, 80.0])
def test_directions_of_samples_that_are_fitted_well_keep_their_digits(margin: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(6, 4, generator=generator), torch.arange(6) % 4
    logits[torch.arange(6), labels] += margin
    inputs = torch.randn(6, 5, generator=generator)
    exact = logit_errors(logits.double(), labels)
    assert torch.allclose(logit_errors(logits, labels).double(), exact, rtol=1e-4, atol=0)
    found = gradient_norms([Outer(inputs, logit_errors(logits, labels))]).double()
    assert torch.allclose(found, inputs.double().norm(dim=1) * exact.norm(dim=1), rtol=1e-4, atol=0)


def test_pair_sums_are_the_sums_of_the_matrix(tmp_path: Path) -> None:
    case = Case(29, 19, 4)
    train, reference = case.trace(case.x, tmp_path / "a"), case.trace(case.reference_x, tmp_path / "b")
    sums, by_checkpoint = last_layer_sums(train, case.y, reference, case.reference_y, 4)
    assert by_checkpoint == []
    pairs = case.influence()
    for label in range(4):
        part = pairs[:, case.reference_y == label]
        assert torch.allclose(sums.positive.amount[:, label].double(), part.clamp(min=0).sum(1), rtol=1e-4, atol=1e-4)
        assert torch.allclose(sums.negative.amount[:, label].double(), -part.clamp(max=0).sum(1), rtol=1e-4, atol=1e-4)
        assert torch.equal(sums.positive.count[:, label].long(), (part > 0).sum(1))
        assert torch.equal(sums.negative.count[:, label].long(), (part < 0).sum(1))
    assert torch.equal(sums.weight, torch.full((29,), 19.0))
    best = pairs.topk(5, dim=1)
    positive = best.values > 0
    assert torch.equal(sums.positive.strongest, torch.where(positive, best.indices, -1))
    worst = pairs.topk(5, dim=1, largest=False)
    assert torch.equal(sums.negative.strongest, torch.where(worst.values < 0, worst.indices, -1))


@pytest.mark.parametrize("columns", [63, 1023, 1024, 1087, 2000])
def test_the_strongest_of_long_rows_are_the_largest_of_all(columns: int) -> None:
    strength = torch.randn(40, columns, generator=torch.Generator().manual_seed(columns)).clamp_(min=0)
    strength[0] = 0
    strength[1, : columns // 2] = strength[1].max()  # more equals than are wanted
    strength[2] = strength[2].sort().values  # all in the last chunks
    values, found = largest(strength, 5)
    assert torch.equal(values, strength.topk(5, dim=1).values)
    assert torch.equal(strength.gather(1, found), values)
    assert all(len(row.unique()) == 5 for row in found)


def test_sums_by_class_need_columns_that_are_sorted_by_class() -> None:
    segments = ClassSegments.of(torch.tensor([0, 0, 2, 2, 2]), 4)
    assert torch.equal(segments.sizes, torch.tensor([2.0, 0.0, 3.0, 0.0]))
    assert torch.equal(segments.sums(torch.arange(5.0)[None]), torch.tensor([[1.0, 0.0, 9.0, 0.0]]))
    with pytest.raises(ValueError, match="not sorted"):
        ClassSegments.of(torch.tensor([0, 2, 1]), 4)


def test_columns_of_one_class_stand_for_equally_many_rows(tmp_path: Path) -> None:
    case = Case(12, 6, 2)
    train, known = case.trace(case.x, tmp_path / "a"), case.trace(case.reference_x, tmp_path / "b")
    weights = torch.ones(6)
    weights[int((case.reference_y == case.reference_y[0]).nonzero()[-1])] = 2
    with pytest.raises(ValueError, match="different numbers"):
        last_layer_sums(train, case.y, known, case.reference_y, 2, PairsCounted(weights))


def test_a_row_is_left_out_of_its_own_sums(tmp_path: Path) -> None:
    case = Case(23, 9, 3)
    columns = torch.tensor([2, 5, 11, 20])
    train = case.trace(case.x, tmp_path)
    own = torch.full((23,), -1)
    own[columns] = torch.arange(4)
    counted = PairsCounted(own_column=own)
    sums, _ = last_layer_sums(train, case.y, train.rows(columns), case.y[columns], 3, counted)
    case.reference_x, case.reference_y = case.x[columns], case.y[columns]
    pairs = case.influence()
    pairs[columns, torch.arange(4)] = 0
    assert torch.allclose(sums.positive.amount.sum(1).double(), pairs.clamp(min=0).sum(1), rtol=1e-4, atol=1e-4)
    assert sums.weight[2] == 3
    assert sums.weight[0] == 4
    assert not (sums.positive.strongest[columns] == torch.arange(4)[:, None]).any()


def test_rows_that_are_drawn_are_judged_like_those_that_are_not(tmp_path: Path) -> None:
    # All rows of a class are alike, so two of them tell exactly what the whole class does.
    case = Case(30, 9, 3)
    case.y = torch.arange(30) % 3
    case.x = case.x[:3][case.y]
    train = case.trace(case.x, tmp_path)

    def sums(columns: Tensor, weights: Tensor) -> PairSums:
        own = torch.full((30,), -1)
        own[columns] = torch.arange(len(columns))
        counted = PairsCounted(weights, own)
        return last_layer_sums(train, case.y, train.rows(columns), case.y[columns], 3, counted)[0]

    whole, drawn = sums(torch.arange(30), torch.ones(30)), sums(torch.tensor([0, 1, 2, 3, 4, 5]), torch.full((6,), 5.0))
    for side in ("positive", "negative"):
        for what in ("amount", "count"):
            exact, found = (getattr(getattr(one, side), what) for one in (whole, drawn))
            assert torch.allclose(found, exact, rtol=1e-4, atol=1e-4)
    assert torch.equal(drawn.weight, torch.full((30,), 29.0))  # all rows but itself
    for what, found in others(drawn).items():
        assert torch.allclose(found, others(whole)[what], rtol=1e-4, atol=1e-4), what


def test_relabelled_pairs_are_those_of_the_last_checkpoint_with_other_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.influence.pairs._BLOCK", 8)
    case = Case(29, 19, 4)
    other = (case.y + 1 + torch.arange(29) % 3) % 4
    train, reference = case.trace(case.x, tmp_path / "a"), case.trace(case.reference_x, tmp_path / "b")
    pairs = last_layer_pairs(train, case.y, reference, case.reference_y)
    # All blocks first: what a block was computed from must not depend on those after it.
    found = torch.cat([pairs.relabelled(block, other[block.rows]) for block in list(pairs.blocks())])
    last = case.states[-1]
    known = case.gradients(case.reference_x, case.reference_y, last)
    assert close(found, RATES[-1] * case.gradients(case.x, other, last) @ known.T)


def test_results_do_not_depend_on_the_block_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(37, 11, 3)
    whole = blocks(case, tmp_path)
    monkeypatch.setattr("worker.influence.pairs._BLOCK", 4)
    assert torch.allclose(blocks(case, tmp_path), whole, rtol=1e-6)


@pytest.mark.parametrize("in_memory", [0, 2**30])
def test_frozen_activations_are_kept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int) -> None:
    monkeypatch.setattr(activations, "_IN_MEMORY", in_memory)
    head = nn.Linear(6, 3)
    model = nn.Sequential(nn.ReLU(), head)
    states = [{name: torch.randn(value.shape) for name, value in model.state_dict().items()} for _ in RATES]
    x = torch.randn(10, 6)
    recorder = ActivationRecorder(model, head, (x,), RATES, tmp_path)
    for step, state in enumerate(states):
        model.load_state_dict(state)
        recorder.read_checkpoint(step)
    trace = recorder.trace
    assert trace.shared
    assert (tmp_path / "activations.f4").exists() == (in_memory == 0)
    assert torch.equal(trace.activations[2], x.relu())
    expected = x.relu() @ states[1]["1.weight"].T + states[1]["1.bias"]
    assert torch.allclose(trace.logits[1], expected, atol=1e-5)


def test_a_model_that_is_only_a_head_copies_nothing(tmp_path: Path) -> None:
    head, x = nn.Linear(6, 3), torch.randn(10, 6)
    trace = ActivationRecorder(head, head, (x,), RATES, tmp_path).trace
    assert trace.shared
    assert trace.activations.data_ptr() == x.data_ptr()


def test_shared_activations_give_the_pairs_of_separate_ones() -> None:
    generator = torch.Generator().manual_seed(0)
    x, known = torch.randn(29, 6, generator=generator), torch.randn(19, 6, generator=generator)
    y, known_y = torch.arange(29) % 4, torch.arange(19) % 4
    z, known_z = torch.randn(3, 29, 4, generator=generator), torch.randn(3, 19, 4, generator=generator)
    shared = Trace(x.expand(3, -1, -1), z, RATES), y, Trace(known.expand(3, -1, -1), known_z, RATES), known_y
    apart = Trace(x.repeat(3, 1, 1), z, RATES), y, Trace(known.repeat(3, 1, 1), known_z, RATES), known_y
    other = (y + 1) % 4
    pairs, expected = last_layer_pairs(*shared), last_layer_pairs(*apart)
    block, separate = pairs.block(slice(0, 29)), expected.block(slice(0, 29))
    assert torch.allclose(block.influence, separate.influence, atol=1e-5)
    assert torch.allclose(pairs.relabelled(block, other), expected.relabelled(separate, other), atol=1e-5)


@pytest.mark.parametrize("by_checkpoint", [False, True])
def test_a_block_is_the_same_whatever_was_computed_before_it(by_checkpoint: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x, known = torch.randn(29, 6, generator=generator), torch.randn(19, 6, generator=generator)
    y, known_y = torch.arange(29) % 4, (torch.arange(19) % 4).sort().values
    z, known_z = torch.randn(3, 29, 4, generator=generator), torch.randn(3, 19, 4, generator=generator)
    train, reference = Trace(x.expand(3, -1, -1), z, RATES), Trace(known.expand(3, -1, -1), known_z, RATES)

    segments = ClassSegments.of(known_y, 4) if by_checkpoint else None

    def pairs() -> PairwiseInfluence:
        sources = LastLayerGradients(train), LastLayerGradients(reference)
        return PairwiseInfluence(sources[0], y, sources[1], known_y, RATES, segments)

    first, last, other = slice(0, 9), slice(9, 29), (y + 1) % 4
    one, fresh = pairs(), pairs()
    early = one.block(first)
    influence, products = early.influence.clone(), one.relabelled(early, other[first])
    # What is computed of other rows changes nothing of what was given, nor of what comes of it.
    one.relabelled(one.block(last), other[last])
    again = one.block(first)
    for block in (early, again, fresh.block(first)):
        assert torch.equal(block.influence, influence)
        assert torch.equal(one.relabelled(block, other[first]), products)
        assert torch.equal(fresh.relabelled(block, other[first]), products)
    for before, after in zip(early.checkpoints, again.checkpoints, strict=True):
        assert torch.equal(before.class_influence, after.class_influence)


@pytest.mark.parametrize("drawn", [None, (2, 5, 11, 20)])
def test_relabelled_sums_are_those_of_the_definition(tmp_path: Path, drawn: tuple[int, ...] | None) -> None:
    case, own = Case(23, 9, 4), None
    train = case.trace(case.x, tmp_path / "a")
    if drawn is not None:
        columns, own = torch.tensor(drawn), torch.full((23,), -1)
        own[columns] = torch.arange(len(drawn))
        case.reference_x, case.reference_y = case.x[columns], case.y[columns]
    reference = case.trace(case.reference_x, tmp_path / "b")
    counted = PairsCounted(own_column=own)
    sums, _ = last_layer_sums(train, case.y, reference, case.reference_y, 4, counted)

    def without_own(pairs: Tensor) -> Tensor:
        if own is not None:
            pairs[torch.tensor(drawn), torch.arange(pairs.shape[1])] = 0
        return pairs

    def by_class(pairs: Tensor) -> Tensor:
        return torch.stack([pairs[:, case.reference_y == label].sum(1) for label in range(4)], 1)

    def with_labels(labels: Tensor) -> Tensor:
        last = case.states[-1]
        known = case.gradients(case.reference_x, case.reference_y, last)
        return without_own(RATES[-1] * case.gradients(case.x, labels, last) @ known.T)

    pairs = without_own(case.influence())
    help_, harm = by_class(pairs.clamp(min=0)), -by_class(pairs.clamp(max=0))
    repaired = by_class(with_labels(harm.argmax(1)).clamp(max=0)).gather(1, case.y[:, None]).squeeze(1)
    moved = (help_ - by_class(with_labels(help_.topk(2, dim=1).indices[:, 1]).clamp(min=0))).abs().amax(1)
    assert close(others(sums)["repaired"], repaired)
    assert close(others(sums)["moved"], moved)


def test_products_are_shared_only_where_the_inputs_of_both_sides_stay_the_same() -> None:
    generator = torch.Generator().manual_seed(0)
    y, known_y = torch.arange(29) % 4, (torch.arange(19) % 4).sort().values
    z, known_z = torch.randn(3, 29, 4, generator=generator), torch.randn(3, 19, 4, generator=generator)
    changing = torch.randn(3, 29, 6, generator=generator), torch.randn(3, 19, 6, generator=generator)
    for inputs, known in [
        (changing[0], changing[1][:1].expand(3, -1, -1)),
        (changing[0][:1].expand(3, -1, -1), changing[1]),
        changing,
    ]:
        train, reference = Trace(inputs, z, RATES), Trace(known, known_z, RATES)
        sources = LastLayerGradients(train), LastLayerGradients(reference)
        pairs = PairwiseInfluence(sources[0], y, sources[1], known_y, RATES, ClassSegments.of(known_y, 4))
        expected = sum(
            (
                rate
                * (train.activations[t] @ reference.activations[t].T + 1)
                * (logit_errors(z[t], y) @ logit_errors(known_z[t], known_y).T)
                for t, rate in enumerate(RATES)
            ),
            torch.zeros(29, 19),
        )
        assert close(pairs.block(slice(0, 29)).influence, expected)


def test_reference_gradients_of_all_checkpoints_must_fit_into_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(7, 9, 4)
    train, reference = case.trace(case.x, tmp_path / "a"), case.trace(case.reference_x, tmp_path / "b")
    needed = 9 * (6 + 4) * 4 * len(RATES)  # bytes of inputs, bias included, and of errors
    monkeypatch.setattr("worker.influence.pairs._LARGEST", needed)
    last_layer_pairs(train, case.y, reference, case.reference_y)
    monkeypatch.setattr("worker.influence.pairs._LARGEST", needed - 1)
    with pytest.raises(MemoryError, match="9 reference rows at 3 checkpoints"):
        last_layer_pairs(train, case.y, reference, case.reference_y)


def test_activations_are_recorded_in_evaluation_mode(tmp_path: Path) -> None:
    head = nn.Linear(6, 3)
    model, x = nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.5), head).train(), torch.randn(10, 5)
    recorder = ActivationRecorder(model, head, (x,), RATES[:1], tmp_path)
    inner = recorder.read_checkpoint(0, inner=True)
    assert torch.equal(recorder.trace.activations[0], model[0](x))
    assert inner is not None
    assert torch.equal(inner, x)
