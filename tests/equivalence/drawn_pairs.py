"""Training and reference rows of drawn gradients, of which every pair is computed in two ways."""

import torch
from torch import Tensor

from worker.influence.activations import Trace
from worker.influence.gradient_sources import LastLayerGradients
from worker.influence.pair_inputs import PairInputs
from worker.influence.pairs_counted import PairsCounted, Related
from worker.influence.row_computations import Arrays

KINDS = ("of its own", "related", "itself", "itself, grouped")
N, M, D, C, T = 60, 150, 20, 3, 3


def trace(rows: int, seed: int, *, shared: bool = False, bias: bool = True) -> Trace:
    draw = torch.Generator().manual_seed(seed)
    activations = torch.randn(1 if shared else T, rows, D, generator=draw).expand(T, -1, -1)
    return Trace(activations, 2 * torch.randn(T, rows, C, generator=draw), (0.1, 0.05, 0.2), bias)


def labels(rows: int, seed: int) -> Tensor:
    return torch.randint(C, (rows,), generator=torch.Generator().manual_seed(seed))


def inputs(kind: str, *, shared: bool = False, bias: bool = True) -> PairInputs:
    train, y = trace(N, 1, shared=shared, bias=bias), labels(N, 2)
    reference, known, counted = trace(M, 3, shared=shared, bias=bias), labels(M, 4), PairsCounted()
    if kind == "related":
        counted = PairsCounted(related=Related(torch.arange(N) // 3, torch.arange(M) // 2))
    elif kind != "of its own":
        # The training set itself: some columns are the training rows.
        rows = torch.randperm(N, generator=torch.Generator().manual_seed(5))[: 3 * N // 4]
        reference, known = train.rows(rows), y[rows]
        own = torch.full((N,), -1)
        own[rows] = torch.arange(len(rows))
        related = Related.in_training_set(torch.arange(N) // 3, rows, y, C) if kind == "itself, grouped" else None
        counted = PairsCounted(torch.tensor([2.0, 3.0, 1.5])[known], own, related)
    sources = LastLayerGradients(train), LastLayerGradients(reference)
    return PairInputs(sources[0], y, sources[1], known, train.rates, C, counted, by_checkpoint=False, relabelled=True)


def same(found: Arrays, wanted: Arrays) -> None:
    assert found.keys() == wanted.keys()
    for name, one in wanted.items():
        assert found[name].dtype == one.dtype, name
        assert torch.allclose(found[name].double(), one.double(), rtol=1e-4, atol=1e-5), name
