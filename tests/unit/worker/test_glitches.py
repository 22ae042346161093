"""Planted errors are what their kind says, and nothing else is touched."""

from collections import Counter

import pytest
import torch
from torch import Tensor

from service.domain.errors import Invalid
from service.domain.specs import Glitch
from worker.data.glitches import KINDS, PlantedData, plant

ROWS, CLASSES = 400, 4
LABELS = torch.arange(ROWS) % CLASSES


def table() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    numbers = torch.randn(ROWS, 6, generator=generator) + torch.eye(CLASSES, 6)[LABELS] * 3
    return numbers, torch.randint(0, 5, (ROWS, 2), generator=generator)


def images() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return (torch.randint(0, 256, (ROWS, 3, 9, 8), generator=generator, dtype=torch.uint8),)


def embeddings() -> tuple[Tensor, ...]:
    return (table()[0],)


def categories() -> tuple[Tensor, ...]:
    return torch.zeros(ROWS, 0), table()[1]


def texts() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    # Common tokens are common: half of them are among the first ten.
    tokens = torch.randint(2, 500, (ROWS, 12), generator=generator)
    tokens = torch.where(torch.rand(ROWS, 12, generator=generator) < 0.5, tokens % 10 + 2, tokens)
    return (tokens * (torch.arange(12) < torch.randint(3, 13, (ROWS, 1), generator=generator)),)


DATA = {"table": table, "images": images, "embeddings": embeddings, "categories": categories, "texts": texts}


def planted(data: str, kind: str, rate: float = 0.1, seed: int = 0) -> PlantedData:
    return plant(DATA[data](), LABELS, CLASSES, [Glitch.model_validate({"kind": kind, "rate": rate, "seed": seed})])


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("kind", KINDS)
def test_the_asked_share_is_touched_the_same_for_the_same_seed_and_nothing_else(kind: str, data: str) -> None:
    before = DATA[data]()
    found, again = planted(data, kind), planted(data, kind)
    assert int(found.touched.sum()) == 40
    assert {name for name in found.kinds if name} == {kind}
    assert [name == kind for name in found.kinds] == found.touched.tolist()
    assert torch.equal(found.labels, again.labels)
    assert torch.equal(found.labels[~found.touched], LABELS[~found.touched])
    for now, same, was in zip(found.inputs, again.inputs, before, strict=True):
        assert now.dtype == was.dtype
        assert torch.equal(now, same)
        assert torch.equal(now[~found.touched], was[~found.touched])
        assert torch.isfinite(now.float()).all()
    assert bool((found.labels >= 0).all() and (found.labels < CLASSES).all())
    assert not torch.equal(planted(data, kind, seed=1).touched, found.touched)


@pytest.mark.parametrize(("rate", "rows"), [(0.0019, 1), (0.0161, 6), (0.0163, 7), (0.001, 0)])
def test_the_planted_number_is_the_nearest_to_the_rate(rate: float, rows: int) -> None:
    assert int(planted("table", "mislabeled_uniform", rate).touched.sum()) == rows


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_caller_holds_is_not_changed(kind: str) -> None:
    inputs, labels = table(), LABELS.clone()
    plant(inputs, labels, CLASSES, [Glitch.model_validate({"kind": kind})])
    assert torch.equal(labels, LABELS)
    assert all(torch.equal(now, was) for now, was in zip(inputs, table(), strict=True))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("mislabeled")])
def test_mislabels_leave_the_inputs_alone_and_change_every_label(kind: str) -> None:
    inputs = table()
    found = plant(inputs, LABELS, CLASSES, [Glitch.model_validate({"kind": kind})])
    assert all(now is was for now, was in zip(found.inputs, inputs, strict=True))
    assert torch.equal(found.touched, found.labels != LABELS)


def test_uniform_mislabels_take_every_other_label() -> None:
    found = planted("table", "mislabeled_uniform", rate=0.5)
    steps = Counter(((found.labels - LABELS) % CLASSES)[found.touched].tolist())
    assert set(steps) == {1, 2, 3}
    assert min(steps.values()) > 45


def test_pair_mislabels_take_the_next_label() -> None:
    found = planted("table", "mislabeled_pair")
    assert torch.equal(found.labels[found.touched], (LABELS[found.touched] + 1) % CLASSES)


def test_confused_labels_are_those_of_the_nearest_class() -> None:
    centres = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    found = plant((centres[LABELS],), LABELS, CLASSES, [Glitch(kind="mislabeled_confusion", rate=0.5)])
    nearest = torch.tensor([1, 0, 3, 2])
    assert (found.labels == nearest[LABELS])[found.touched].float().mean() > 0.9


def test_labels_that_go_one_way_never_come_back() -> None:
    found = planted("table", "mislabeled_one_way", rate=0.3)
    left, reached = set(LABELS[found.touched].tolist()), set(found.labels[found.touched].tolist())
    assert len(left) == CLASSES // 2
    assert not left & reached
    with pytest.raises(Invalid, match="lower its rate"):
        plant((torch.randn(9, 2),), torch.arange(9) % 3, 3, [Glitch(kind="mislabeled_one_way", rate=0.5)])


def test_people_err_where_a_sample_looks_like_another_class() -> None:
    # Along a line that classes share, those near the border look like the other class.
    places = torch.linspace(-1, 1, ROWS)
    labels = (places > 0).long()
    found = plant((places[:, None],), labels, 2, [Glitch(kind="mislabeled_human", rate=0.1)])
    assert float(places[found.touched].abs().mean()) < 0.5 * float(places.abs().mean())


def test_a_cluster_of_wrong_labels_is_of_one_class_and_gets_the_next_one() -> None:
    generator = torch.Generator().manual_seed(2)
    centres = torch.tensor([[0.0, 0.0], [3.0, 0.0], [40.0, 0.0], [43.0, 0.0]])
    places = centres[LABELS] + torch.randn(ROWS, 2, generator=generator)
    found = plant((places,), LABELS, CLASSES, [Glitch(kind="mislabeled_cluster", rate=0.05)])
    next_to = torch.tensor([1, 0, 3, 2])
    assert torch.equal(found.labels[found.touched], next_to[LABELS[found.touched]])
    by_class = [places[found.touched & (label == LABELS)] for label in range(CLASSES)]
    spread = max(float((one - one.mean(0)).norm(dim=1).mean()) for one in by_class if 0 < len(one) <= 5)
    assert spread < 0.8 * float((places - centres[LABELS]).norm(dim=1).mean())


@pytest.mark.parametrize("kind", ["anomalous_far_clustered", "anomalous_far_scattered"])
def test_far_anomalies_lie_outside_of_the_data(kind: str) -> None:
    found = planted("table", kind)
    honest, strange = found.inputs[0][~found.touched], found.inputs[0][found.touched]
    radius = (honest - honest.mean(0)).norm(dim=1)
    assert float((strange - honest.mean(0)).norm(dim=1).min()) > float(radius.max())


def test_clusters_are_tight_and_carry_one_label_and_scattered_ones_do_not() -> None:
    for data in ("table", "images", "embeddings"):
        spread = {}
        for kind in ("anomalous_far_clustered", "anomalous_near_clustered", "anomalous_far_scattered"):
            found = planted(data, kind)
            strange = found.inputs[0][found.touched].float().flatten(1)
            spread[kind] = float((strange - strange.mean(0)).norm(dim=1).mean())
            assert (len(set(found.labels[found.touched].tolist())) == 1) == kind.endswith("clustered")
        assert (
            2 * max(spread["anomalous_far_clustered"], spread["anomalous_near_clustered"])
            < spread["anomalous_far_scattered"]
        )


def test_shuffled_values_are_values_of_their_own_column() -> None:
    found = planted("table", "anomalous_shuffled")
    for now, was in zip(found.inputs, table(), strict=True):
        for column in range(now.shape[1]):
            assert set(now[:, column].tolist()) <= set(was[:, column].tolist())
    assert torch.equal(found.labels, LABELS)
    assert not torch.equal(found.inputs[0], table()[0])
    (pixels,) = planted("images", "anomalous_shuffled").inputs
    assert torch.equal(pixels.flatten(1).sort(1).values, images()[0].flatten(1).sort(1).values)


def test_extreme_values_are_many_deviations_away_and_keep_their_labels() -> None:
    found = planted("table", "anomalous_extreme")
    numbers = table()[0]
    away = ((found.inputs[0] - numbers.mean(0)) / numbers.std(0, correction=0)).abs()[found.touched]
    assert torch.equal((away > 5.9).sum(1), torch.ones(40, dtype=torch.int64))
    assert float(away.max()) < 10.1
    assert torch.equal(found.labels, LABELS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("anomalous")])
def test_anomalous_texts_are_other_texts_of_real_tokens(kind: str) -> None:
    (was,) = texts()
    found = planted("texts", kind)
    (now,) = found.inputs
    assert bool((now[found.touched] != was[found.touched]).any(1).all())
    assert bool((now[found.touched][:, 0] > 0).all())
    assert int(now.max()) <= int(was.max())
    # Nothing stands behind the end of a text.
    assert bool(((now > 0).int().diff(dim=1) <= 0).all())


def test_anomalous_texts_are_what_their_kind_says() -> None:
    (was,) = texts()
    found = {
        kind: planted("texts", f"anomalous_{kind}") for kind in ("far_clustered", "far_scattered", "near_clustered")
    }
    strange = {kind: one.inputs[0][one.touched] for kind, one in found.items()}
    alike = {kind: float((rows[:, None] == rows).float().mean()) for kind, rows in strange.items()}
    assert alike["far_clustered"] > alike["near_clustered"] > alike["far_scattered"] + 0.2
    common = {kind: float((rows[rows > 0] < 12).float().mean()) for kind, rows in strange.items()}
    assert common["far_scattered"] < 0.1 < common["near_clustered"]
    for kind, one in found.items():
        assert (len(set(one.labels[one.touched].tolist())) == 1) == kind.endswith("clustered")
    extreme, shuffled = planted("texts", "anomalous_extreme"), planted("texts", "anomalous_shuffled")
    (once,) = extreme.inputs
    assert all(len(set(row.tolist()) - {0}) == 1 for row in once[extreme.touched])
    assert torch.equal((once > 0).sum(1), (was > 0).sum(1))
    words = shuffled.inputs[0][shuffled.touched]
    assert 0.3 < float((words[words > 0] < 12).float().mean()) < 0.7


@pytest.mark.parametrize("data", DATA)
def test_duplicates_equal_an_untouched_sample(data: str) -> None:
    same, other = planted(data, "duplicate"), planted(data, "duplicate_relabeled")
    for found in (same, other):
        for row in found.touched.nonzero().squeeze(1).tolist():
            alike = torch.stack([(part == part[row]).flatten(1).all(1) for part in found.inputs]).all(0)
            agreeing = alike & ~found.touched & (found.labels == found.labels[row])
            assert bool((alike & ~found.touched).any())
            if data in ("table", "images", "embeddings"):
                assert bool(agreeing.any()) == (found is same)


def test_glitches_never_touch_a_row_twice() -> None:
    kinds = ["mislabeled_uniform", "anomalous_far_clustered", "duplicate"]
    glitches = [Glitch.model_validate({"kind": kind, "rate": 0.3}) for kind in kinds]
    found = plant(table(), LABELS, CLASSES, glitches)
    counted: Counter[str | None] = Counter(found.kinds)
    assert counted == Counter({None: 40, kinds[0]: 120, kinds[1]: 120, kinds[2]: 120})
    with pytest.raises(Invalid, match="rates"):
        plant(table(), LABELS, CLASSES, [*glitches, Glitch(kind="mislabeled_pair", rate=0.2)])
