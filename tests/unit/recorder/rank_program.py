"""What one of two ranks runs in tests of recordings: `python rank_program.py FOLDER RANK`. What it saw is in `rank-RANK.json`."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.distributed import fsdp
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from usual_suspects.recorder import TraceRecorder, shards
from usual_suspects.recorder import recorder as recorder_module

N, WIDTH, HIDDEN, CLASSES = 601, 5, 7, 3  # three batches of the recorder, which two ranks cannot share evenly


def samples(rows: int = N, seed: int = 0) -> TensorDataset:
    draw = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(rows, WIDTH, generator=draw), torch.arange(rows) % CLASSES)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(WIDTH, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES)
    )


def replicated() -> nn.Module:
    return nn.parallel.DistributedDataParallel(network())


def flat() -> nn.Module:
    return fsdp.FullyShardedDataParallel(network(), device_id=torch.device("cpu"))


def sharded() -> nn.Module:
    model: Any = network()
    for layer in model:
        if isinstance(layer, nn.Linear):
            fsdp.fully_shard(layer)
    fsdp.fully_shard(model)
    return model  # type: ignore[no-any-return]  # a Module


def epochs(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Two epochs of a training in which each rank sees its samples."""
    sampler: DistributedSampler[Any] = DistributedSampler(samples(), shuffle=True)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        model.train()
        for inputs, labels in DataLoader(samples(), batch_size=80, sampler=sampler):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(inputs), labels))
            optimizer.step()
        yield


def own_places(rank: int) -> list[int]:
    """Places that a DistributedSampler gives a rank; one sample is there twice, since the number is odd."""
    return list(DistributedSampler(samples(), num_replicas=2, rank=rank, shuffle=False))


def own_samples(rank: int) -> TensorDataset:
    """Samples of a rank alone; rank 1 has others in the place of the one that both have."""
    inputs, labels = (part[own_places(rank)] for part in samples().tensors)
    if rank:
        inputs = torch.where(torch.tensor(own_places(1))[:, None] == 0, inputs + 1, inputs)
    return TensorDataset(inputs, labels)


def trained(make: Callable[[], nn.Module], recorders: dict[str, Callable[[nn.Module], TraceRecorder]]) -> list[Tensor]:
    """Parameters and buffers of this rank after a training that recorders follow; states of each epoch of DDP are saved."""
    model = make()
    opened = [made(model) for made in recorders.values()]
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    states = []
    for _ in epochs(model, optimizer):
        for recorder in opened:
            recorder.record(optimizer)
        if make is replicated:
            states.append({name: value.clone() for name, value in network_of(model).state_dict().items()})
    for recorder in opened:
        assert recorder.close().exists()  # on all ranks
    if states and recorders and distributed.get_rank() == 0:
        torch.save(states, FOLDER / "states.pt")
    return [plain(one).detach().clone() for one in (*model.parameters(), *model.buffers())]


def network_of(model: Any) -> nn.Module:
    found: nn.Module = model.module
    return found


def plain(tensor: Any) -> Tensor:
    """The numbers that this rank has of a tensor."""
    found: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return found


def said_by(act: Callable[[], object]) -> str:
    """What an act that is refused says."""
    try:
        act()
    except (ValueError, RuntimeError, OSError, RuntimeWarning) as error:
        return "; ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())])
    return "nothing"


def forms() -> dict[str, Any]:
    """The same samples as whatever holds them."""
    whole = samples()
    return {
        "set": whole,
        "tensors": whole.tensors,
        "batches": list(zip(*(torch.split(part, 150) for part in whole.tensors), strict=True)),
        "one batch": DataLoader(whole, batch_size=1000),
    }


def all_cases(rank: int) -> dict[str, Any]:
    own = [f"s{place}" for place in own_places(rank)]
    whole = samples()
    by_rank = DataLoader(whole, batch_size=64, sampler=DistributedSampler(whole, shuffle=True))

    def recorder(name: str, data: Any, **options: Any) -> Callable[[nn.Module], TraceRecorder]:
        return lambda model: TraceRecorder(model, data, FOLDER / name, **options)

    more: dict[str, Any] = {"reference": samples(40, 1), "classes": list("abc")}
    recorders = {name: recorder(name, data, **more) for name, data in (forms() | {"by_rank": by_rank}).items()}
    recorders["numbers"] = recorder("numbers", whole, ids=range(N))
    recorders["own"] = recorder("own", own_samples(rank), ids=own)
    found: dict[str, Any] = {}
    for make in (replicated, flat, sharded):
        name = make.__name__
        of_kind = (
            recorders
            if make is replicated
            else {"": recorder(name, whole, **more), "own": recorder(f"{name} own", own_samples(rank), ids=own)}
        )
        alone, recorded = trained(make, {}), trained(make, of_kind)
        found[f"{name} same training"] = all(map(torch.equal, alone, recorded))
    return found


def continued(rank: int) -> None:
    """Runs of one epoch each: the first is closed, the second ends before it, the third goes on with both."""
    model: Any = network()
    for epoch in range(1, 4):
        with torch.no_grad():
            model[-1].weight.mul_(2)
        ids = [f"s{place}" for place in own_places(rank)]
        recorder = TraceRecorder(model, own_samples(rank), FOLDER / "continued", ids=ids, existing="continue")
        recorder.record(0.1)
        if epoch != 2:
            recorder.close()


def refusals(rank: int) -> dict[str, str]:
    shards._SEEN_WITHIN_S = 0.2
    recorder_module._PATIENCE_AFTER_FAILURE = timedelta(seconds=0.3)
    own, ids = own_samples(rank), [f"s{place}" for place in own_places(rank)]
    wrong = TensorDataset(own.tensors[0], own.tensors[1] + 7 * rank)
    model, path = network(), FOLDER / "refused"

    def closed() -> None:
        recorder = TraceRecorder(model, samples(), path, existing="replace")
        recorder.record(0.1)
        if rank:
            (recorder._epochs.folder / "logits_1").unlink()
        recorder.close()

    def other_weights() -> None:
        recorder = TraceRecorder(model, samples(), path, existing="replace")
        with torch.no_grad():
            model[-1].weight.mul_(1 + rank)  # type: ignore[operator]  # a Linear layer
        recorder.record(0.1)

    def diverged() -> None:
        inputs, labels = samples().tensors
        inputs[-1] = torch.inf  # of the share of rank 1
        TraceRecorder(model, (inputs, labels), path, existing="replace").record(0.1)

    def failed(ranks: Sequence[int], name: str) -> None:
        with TraceRecorder(model, samples(), FOLDER / name) as recorder:
            recorder.record(0.1)
            if rank in ranks:
                raise ValueError("a training that failed")
            time.sleep(1)

    return {
        "own without ids": said_by(lambda: TraceRecorder(model, own, path)),
        "wrong labels": said_by(lambda: TraceRecorder(model, wrong, path, ids=ids)),
        "another folder": said_by(lambda: TraceRecorder(model, samples(), FOLDER / f"disk {rank}" / "run")),
        "lost shard": said_by(closed),
        "other epoch": said_by(lambda: TraceRecorder(model, samples(), path, existing="replace").record(0.1, 1 + rank)),
        "diverged": said_by(diverged),
        "all failed": said_by(lambda: failed((0, 1), "all failed")),
        "one failed": said_by(lambda: failed((1,), "one failed")),
        "other weights": said_by(other_weights),
    }


def last_step(rank: int) -> dict[str, str]:
    """Rank 1 ends before it closes."""
    recorder = TraceRecorder(network(), samples(), FOLDER / "ended")
    recorder.record(0.1)
    return {} if rank else {"ended": said_by(recorder.close)}


if __name__ == "__main__":
    FOLDER, number = Path(sys.argv[1]), int(sys.argv[2])
    distributed.init_process_group(
        "gloo", f"file://{FOLDER / 'store'}", rank=number, world_size=2, timeout=timedelta(seconds=60)
    )
    continued(number)
    seen = all_cases(number) | refusals(number) | last_step(number)
    (FOLDER / f"rank-{number}.json").write_text(json.dumps(seen))
    os._exit(0)  # with the group as it is
