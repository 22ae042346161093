"""Audits with a reviewer who knows every label, on rankings of real jobs and on made ones: what each run told, beside other methods.

The real rankings are those of benchmarks.truth_runs: a ranking stays the same over the runs of a cell, draws differ. Made ones
differ in each run. Everything that decides is the engine's: models, batches, measures, goals.
"""

import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from benchmarks.truth_runs import LOGISTIC, NATURAL, NONE, KnownRun, known_runs
from service.audit.draw import choose_batch
from service.audit.goal import Goal, listed_share, progress_of
from service.audit.log import Log, draws_of
from service.audit.martingale import log_capital_paths
from service.audit.measure import Answer, Measured, game_of, measure
from service.audit.working_model import WorkingModel, bin_ends, bins_by_rank, cells_of, fit_model
from worker.signals.confident import label_issue_count
from worker.signals.formulas import compute

Array = NDArray[Any]
Values = dict[str, float]
REVIEWS, BATCH, LEVEL = 150, 10, 0.95
LOOKS = (50, 100, 150)  # planned looks of uniform sampling, among which the error is shared
FIRST_LOOK = 30  # draws from which on the normal-theory interval is looked at
CHUNK = 100  # runs that are kept together
IN_A_ROW, NEXT = 100, 50
PROXIES = (
    "none",
    "right on 90 % of the wrong and 97 % of the others",
    "the same, inverted",
    "by chance",
    "adversary: right in the first half of the ranks, inverted in the other",
    "adversary: silent on all that is wrong and half of the rest",
)
_BINS = 10
_STEP = 20  # reviews of a batch on the way to a goal


@dataclass(frozen=True)
class Ranked:
    """Samples by rank: which are wrong, how likely another model says they are, and what a proxy says, if there is one."""

    wrong: Array  # bool n
    guess: Array | None = None  # float n
    opinion: Array | None = None  # int n: of a proxy, 0 or 1


@dataclass(frozen=True)
class Cell:
    """Rankings of one kind: one for each seed, or the same for all."""

    name: str
    ranked: Callable[[int], Ranked]
    confident: int | None = None  # wrong labels by the confident joint


class Played:
    """One audit of samples that are named by their rank."""

    def __init__(self, ranked: Ranked, seed: int) -> None:
        self.wrong = ranked.wrong
        self.order = np.arange(len(self.wrong))
        self.bins = bins_by_rank(len(self.wrong)).astype(np.int64)
        self.cells: Array | None = None
        if ranked.opinion is not None:
            self.bins = self.cells = cells_of(self.bins, ranked.opinion, len(self.wrong))
        self.answers = np.full(len(self.wrong), Answer.NONE, np.int8)
        self.random = np.random.default_rng([seed, 7])
        self.models: list[WorkingModel] = []
        self.rows: list[int] = []
        self.drawn: list[bool] = []
        self.fit()

    def fit(self) -> None:
        """Fit the working model on the answers so far."""
        width = len(bin_ends(len(self.wrong))) * (1 if self.cells is None else 2)
        chosen = (self.answers != Answer.NONE, self.answers == Answer.WRONG, self.answers == Answer.NONE)
        reviewed, wrong, left = (np.bincount(self.bins[one], minlength=width) for one in chosen)
        self.models.append(fit_model(len(self.rows), reviewed, wrong, left, len(self.wrong)))

    def review(self, count: int, share: float = 0.0) -> None:
        """Draw, answer and fit."""
        is_left = self.answers == Answer.NONE
        for item in choose_batch(self.models[-1], self.order, is_left, count, share, self.random, self.cells):
            self.rows.append(item.row)
            self.drawn.append(item.is_drawn)
            self.answers[item.row] = self.wrong[item.row]
        self.fit()

    @property
    def log(self) -> Log:
        """The log so far."""
        rows = np.array(self.rows, int)
        return Log(rows, self.bins[rows], np.array(self.drawn, bool), self.models)

    def measure(self) -> Measured:
        """What the engine tells now."""
        return measure(self.log, self.answers, LEVEL)


def made_cells() -> Iterator[Cell]:
    """Rankings made of normal scores: 3 standard deviations apart, 1 apart, or 3 apart with half of the wrong labels unseen."""
    for samples, rates in ((2_000, (0.0, 0.01, 0.05, 0.2)), (30_000, (0.01, 0.05))):
        for rate in rates:
            for kind in ("good", "noisy", "partly blind") if rate else ("any",):
                yield Cell(f"made, {samples:,} samples, {rate:.0%} wrong, {kind} score", _maker(samples, rate, kind))


def _maker(samples: int, rate: float, kind: str) -> Callable[[int], Ranked]:
    def make(seed: int) -> Ranked:
        random = np.random.default_rng([seed, zlib.crc32(f"{samples}{rate}{kind}".encode())])
        wrong = np.arange(samples) < round(rate * samples)
        seen = wrong & (random.random(samples) < 0.5) if kind == "partly blind" else wrong
        score = (1.0 if kind == "noisy" else 3.0) * seen + random.normal(size=samples)
        return Ranked(wrong[np.argsort(-score)])

    return make


def proxy_cells() -> Iterator[Cell]:
    """A noisy score of 2,000 samples, 5 % wrong, and what a second judge says of each label."""
    make = _maker(2_000, 0.05, "noisy")
    for kind in PROXIES:
        yield Cell(f"proxy, {kind}", _with_opinion(make, kind))


def _with_opinion(make: Callable[[int], Ranked], kind: str) -> Callable[[int], Ranked]:
    def opinionated(seed: int) -> Ranked:
        wrong, random = make(seed).wrong, np.random.default_rng([seed, 9])
        samples = len(wrong)
        good = np.where(random.random(samples) < np.where(wrong, 0.9, 0.97), wrong, ~wrong)
        opinion = {
            "none": None,
            "right on 90 % of the wrong and 97 % of the others": good,
            "the same, inverted": ~good,
            "by chance": random.random(samples) < 0.3,
            "adversary: right in the first half of the ranks, inverted in the other": np.where(
                np.arange(samples) < samples // 2, wrong, ~wrong
            ),
            "adversary: silent on all that is wrong and half of the rest": ~wrong & (random.random(samples) < 0.5),
        }[kind]
        return Ranked(wrong, opinion=None if opinion is None else opinion.astype(np.int64))

    return opinionated


def real_cells(names: Iterable[str], kinds: Iterable[str], rows: int, cache: Path) -> Iterator[Cell]:
    """Rankings by `mislabeled` of jobs with known wrong labels."""
    for run in known_runs(names, (NONE, *kinds), rows, (0,), 0, cache):
        title = {NONE: "none planted", NATURAL: "weak labels"}.get(run.kind, run.kind)
        yield Cell(f"{run.name}, {title}", _keeper(run), label_issue_count(run.others[LOGISTIC], run.labels))


def _keeper(run: KnownRun) -> Callable[[int], Ranked]:
    score = compute(run.measurements, ["mislabeled"])["mislabeled"]
    order = np.argsort(-score.double().numpy(), kind="stable")
    ranked = Ranked(run.wrong.numpy()[order], (1 + run.self_confidence(LOGISTIC).double().numpy())[order])
    return lambda _: ranked


def measured_runs(cells: Iterable[Cell], runs: int, kept: Path) -> dict[str, list[Values]]:
    """What each run of each cell told after 150 reviews. Runs are kept by the hundred, and those kept are not made again."""
    return _kept(cells, runs, kept, "measure", measured_run)


def goal_runs(cells: Iterable[Cell], goal: Goal, runs: int, kept: Path) -> dict[str, list[Values]]:
    """How many reviews a goal took in each run of each cell, and whether it was right."""
    return _kept(cells, runs, kept, goal.text, lambda cell, seed: goal_run(cell, goal, seed))


def _kept(
    cells: Iterable[Cell], runs: int, kept: Path, what: str, run: Callable[[Cell, int], Values]
) -> dict[str, list[Values]]:
    kept.mkdir(parents=True, exist_ok=True)
    cells = list(cells)
    found: dict[str, list[Values]] = {}
    for first in range(0, runs, CHUNK):
        seeds = range(first, min(first + CHUNK, runs))
        for cell in cells:
            file = kept / f"{what.replace(':', ' ')} {cell.name} {seeds[0]}-{seeds[-1]}.json"
            if not file.exists():
                file.write_text(json.dumps([run(cell, seed) for seed in seeds]))
            found.setdefault(cell.name, []).extend(json.loads(file.read_text()))
    return found


def measured_run(cell: Cell, seed: int) -> Values:
    """One audit of 150 draws, and what other methods tell of as many reviews."""
    ranked = cell.ranked(seed)
    # Where nothing is wrong, every answer is the same, whatever the ranking.
    is_made_before = ranked.opinion is None and not ranked.wrong.any()
    played, values = _clean_audit(len(ranked.wrong), seed) if is_made_before else _audit(ranked, seed)
    return {**values, **_in_a_row(ranked.wrong), **_calibration(played, ranked)}


@lru_cache(CHUNK)
def _clean_audit(samples: int, seed: int) -> tuple[Played, Values]:
    return _audit(Ranked(np.zeros(samples, bool)), seed)


def _audit(ranked: Ranked, seed: int) -> tuple[Played, Values]:
    played, truth = Played(ranked, seed), int(ranked.wrong.sum())
    for _ in range(REVIEWS // BATCH):
        played.review(BATCH)
    log, measured = played.log, played.measure()
    game = game_of(log, draws_of(log), played.answers, 1.0)
    more, fewer = (path[:, 0] for path in log_capital_paths(game, np.array([float(truth)])))
    limit = -np.log(1 - LEVEL)
    return played, {
        "truth": truth,
        "always": bool((np.logaddexp(more, fewer) - np.log(2) < limit).all()),
        "bound_always": bool((more < limit).all()),
        "end": measured.low <= truth <= measured.high,
        "width": measured.high - measured.low,
        "at_most": measured.at_most,
        "estimate": measured.estimate or 0.0,
        "found": measured.found,
        **_normal(game.found + game.estimate, truth),
        **_uniform(len(ranked.wrong), truth, np.random.default_rng([seed, 8])),
    }


def _normal(values: Array, truth: int) -> Values:
    """Coverage of mean plus or minus 1.96 standard errors, at the end and at every moment from 30 draws on."""
    count = np.arange(1, len(values) + 1)
    mean = np.cumsum(values) / count
    spread = np.sqrt(np.maximum(np.cumsum(values**2) / count - mean**2, 0) / count)
    holds = np.abs(mean - truth) <= 1.96 * spread
    return {
        "normal_end": bool(holds[-1]),
        "normal_always": bool(holds[FIRST_LOOK:].all()),
        "normal_width": float(2 * 1.96 * spread[-1]),
    }


def _uniform(samples: int, truth: int, random: np.random.Generator) -> Values:
    """Clopper-Pearson intervals at the planned looks at a uniform sample, with the error shared among them."""
    wrong = np.cumsum(random.permutation(np.arange(samples) < truth)[:REVIEWS])
    tail = (1 - LEVEL) / len(LOOKS) / 2
    looks = np.array(LOOKS)
    found = wrong[looks - 1]
    low = samples * np.where(found > 0, betaincinv(np.maximum(found, 1), looks - found + 1, tail), 0.0)
    high = samples * np.where(found < looks, betaincinv(found + 1, np.maximum(looks - found, 1), 1 - tail), 1.0)
    return {
        "uniform_always": bool(((low <= truth) & (truth <= high)).all()),
        "uniform_width": float(high[-1] - low[-1]),
        "uniform_found": int(wrong[-1]),
    }


def _in_a_row(wrong: Array) -> Values:
    """Reviews by rank until 100 in a row are right, and the share of the wrong labels that they found."""
    last = np.maximum.accumulate(np.where(wrong, np.arange(len(wrong)), -1))
    clean = np.flatnonzero(np.arange(len(wrong)) - last >= IN_A_ROW)
    reviews = int(clean[0]) + 1 if len(clean) else len(wrong)
    return {"row_reviews": reviews, "row_recall": float(wrong[:reviews].sum() / max(wrong.sum(), 1))}


def _calibration(played: Played, ranked: Ranked) -> Values:
    """Of the samples without a review: error of the probabilities by the working model, and of those before any review."""
    left = played.answers == Answer.NONE
    true = ranked.wrong[left].astype(float)
    told = {"after": played.models[-1].probability[played.bins[left]]}
    if ranked.guess is not None:
        told["before"] = np.clip(ranked.guess[left], 0, 1)
    found: Values = {}
    for when, shown in told.items():
        place = np.minimum((shown * _BINS).astype(int), _BINS - 1)
        gaps = np.bincount(place, weights=shown - true, minlength=_BINS)
        found[f"brier_{when}"] = float(((shown - true) ** 2).mean())
        found[f"ece_{when}"] = float(np.abs(gaps).sum() / len(true))
        found[f"next_{when}"] = float(abs(shown[:NEXT].sum() - true[:NEXT].sum()))
    return found


def goal_run(cell: Cell, goal: Goal, seed: int) -> Values:
    """Reviews until a goal is reached or refused, by batches of 20, and whether what is then said is true."""
    ranked = cell.ranked(seed)
    played, truth = Played(ranked, seed), int(ranked.wrong.sum())
    measured = played.measure()
    while not ((progress := progress_of(goal, measured)).reached or progress.refused):
        model = played.models[-1]
        played.review(_STEP, listed_share(goal, measured, float(model.left @ model.probability)))
        measured = played.measure()
    share = goal.value or 0.0
    is_true = {
        "recall": measured.found >= share * truth,
        "remaining": truth - measured.found <= share * measured.left,
        "accept": truth <= share * measured.samples,
    }
    # Reviews by rank that find this share: what they take who know the truth.
    wanted = int(np.ceil(share * truth)) if goal.kind == "recall" else 0
    oracle = int(np.searchsorted(np.cumsum(ranked.wrong), wanted)) + 1 if wanted else 0
    return {"reviews": measured.reviewed, "right": is_true[goal.kind] == progress.reached, "oracle": oracle}
