"""Every formula of `GET /signals`, transcribed word by word: float64, plain loops, one number a sample.

Letters are those of the published formulas; what several formulas read is computed once for each world.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise

import numpy as np

from tests.equivalence.traces import CLASSES, Doubles, World

Literal = Callable[[World], list[float]]


def each(score: Callable[[World, int], float]) -> Literal:
    """A formula that looks at one sample at a time."""
    return lambda w: [score(w, i) for i in range(w.n)]


def places(values: list[float]) -> list[float]:
    """From 1 for the smallest to n; equal values share the mean of their places."""
    return [sum(other < value for other in values) + (values.count(value) + 1) / 2 for value in values]


def ranks(values: list[float]) -> list[float]:
    return [place / len(values) for place in places(values)]


def mean_ranks(*columns: list[float]) -> list[float]:
    # Places are halves of whole numbers, whose sums are exact: equal means stay equal.
    found = zip(*map(places, columns), strict=True)
    return [sum(row) / (len(columns) * len(columns[0])) for row in found]


def cosines(rows: Doubles, columns: Doubles) -> Doubles:
    lengths = np.outer(np.linalg.norm(rows, axis=1), np.linalg.norm(columns, axis=1))
    return np.asarray(rows @ columns.T / lengths)


def distances(rows: Doubles, columns: Doubles) -> Doubles:
    return np.array([[math.dist(row, column) for column in columns] for row in rows])


def lead_of_others(values: Doubles, y: int) -> float:
    """`max_{c != y} v_c - v_y`."""
    return max(float(v) for c, v in enumerate(values) if c != y) - float(values[y])


# Learning dynamics.


def margins(w: World, i: int) -> list[float]:
    return [-lead_of_others(z[i], int(w.train.labels[i])) for z in w.train.z]


def confidences(w: World, i: int) -> list[float]:
    return [float(p[i, w.train.labels[i]]) for p in w.train.p]


def aum_early(w: World, i: int) -> float:
    count = len(w.rates)
    early = [margin for t, margin in enumerate(margins(w, i), start=1) if t <= max(2, min(5, count // 2))]
    return -statistics.fmean(early)


def el2n(w: World, i: int) -> float:
    y = w.train.labels[i]
    return statistics.fmean(math.sqrt(sum((p[i, c] - (c == y)) ** 2 for c in range(CLASSES))) for p in w.train.p)


def forgetting(w: World, i: int) -> float:
    right = [margin > 0 for margin in margins(w, i)]
    if not any(right):
        return len(w.rates) + 1
    return sum(now and not after for now, after in pairwise(right))


# Influence.


def others(w: World, i: int, c: int) -> list[int]:
    """The reference samples of class c but sample i itself."""
    return [j for j, y in enumerate(w.reference.labels) if int(y) == c and not (w.other is None and i == j)]


def of_class(w: World, i: int, c: int) -> list[float]:
    """Influences of sample i on the reference samples of class c."""
    return [float(w.influence[i, j]) for j in others(w, i, c)]


def own(w: World, i: int) -> list[float]:
    return of_class(w, i, int(w.train.labels[i]))


def every(w: World, i: int) -> list[float]:
    return [value for c in range(CLASSES) for value in of_class(w, i, c)]


def negative(values: list[float]) -> float:
    return sum(min(value, 0) for value in values)


def positive(values: list[float]) -> float:
    return sum(max(value, 0) for value in values)


def self_influence(w: World, i: int) -> list[float]:
    return [rate * float(w.train.g[t, i] @ w.train.g[t, i]) for t, rate in enumerate(w.rates)]


def late_influence(w: World, i: int) -> float:
    found, count = self_influence(w, i), len(w.rates)
    return sum(value for t, value in enumerate(found, start=1) if 3 * t > 2 * count) / sum(found)


def relabelled(w: World, i: int, label: int, c: int) -> list[float]:
    """Influences at the last checkpoint of sample i with another label, on the reference samples of class c."""
    gradient = w.train.gradient(len(w.rates) - 1, i, label)
    return [w.rates[-1] * float(gradient @ w.reference.g[-1, j]) for j in others(w, i, c)]


def cnci(w: World, i: int) -> float:
    hurt = min(range(CLASSES), key=lambda c: negative(of_class(w, i, c)))
    return negative(relabelled(w, i, hurt, int(w.train.labels[i])))


def pcid(w: World, i: int) -> float:
    before = [positive(of_class(w, i, c)) for c in range(CLASSES)]
    second = sorted(range(CLASSES), key=lambda c: before[c])[-2]
    after = [positive(relabelled(w, i, second, c)) for c in range(CLASSES)]
    product = positive(every(w, i)) * max(abs(p - q) for p, q in zip(before, after, strict=True))
    # At a single checkpoint nothing moves where the second class is the label itself.
    return 1 / max(product, float(np.finfo(np.float32).tiny))


def relatif(w: World, i: int) -> float:
    return -statistics.fmean(every(w, i)) / math.sqrt(sum(self_influence(w, i)))


@cache
def class_cosines(w: World, t: int) -> Doubles:
    """Mean cosine of the gradient of each sample with those of the reference samples of each class, itself left out."""
    found = cosines(w.train.g[t], w.reference.g[t])
    return np.array([[statistics.fmean(found[i, others(w, i, c)]) for c in range(CLASSES)] for i in range(w.n)])


def over_checkpoints(w: World, score: Callable[[World, int, int], float], checkpoints: list[int]) -> list[float]:
    """Mean over checkpoints of the ranks of a score."""
    return mean_ranks(*([score(w, t, i) for i in range(w.n)] for t in checkpoints))


def gc_own(w: World) -> list[float]:
    own_label = [int(y) for y in w.train.labels]
    return over_checkpoints(w, lambda w, t, i: -float(class_cosines(w, t)[i, own_label[i]]), w.checkpoints)


def gc_margin(w: World) -> list[float]:
    own_label = [int(y) for y in w.train.labels]
    return over_checkpoints(w, lambda w, t, i: lead_of_others(class_cosines(w, t)[i], own_label[i]), w.checkpoints)


# Neighbours.


def largest(values: Doubles, count: int) -> list[float]:
    return sorted(values.tolist(), reverse=True)[:count]


def vote(found: Doubles, labels: list[int], i: int, count: int) -> Doubles:
    """Shares of the classes among the `count` nearest rows but row i, weighted by cosine; a negative one hardly votes."""
    nearest = sorted((j for j in range(len(labels)) if j != i), key=lambda j: -found[j])[:count]
    shares = np.zeros(CLASSES)
    for j in nearest:
        shares[labels[j]] += max(found[j], 0) + 1e-6
    return np.asarray(shares / shares.sum())


@cache
def votes(w: World) -> Doubles:
    """Mean over the first and the last checkpoint; trusted samples vote beside the training samples."""
    total = np.zeros((w.n, CLASSES))
    for t in w.searched:
        pool, labels = w.train.a[t], w.train.labels.tolist()
        if w.trusted:
            pool, labels = np.concatenate([pool, w.reference.a[t]]), labels + w.reference.labels.tolist()
        found = cosines(w.train.a[t], pool)
        total += np.stack([vote(found[i], labels, i, 10) for i in range(w.n)]) / len(w.searched)
    return total


def knn_vote(w: World, i: int) -> float:
    return lead_of_others(votes(w)[i], int(w.train.labels[i]))


def frozen_votes(w: World) -> Doubles:
    assert w.frozen is not None
    labels, found = w.train.labels.tolist(), cosines(w.frozen, w.frozen)
    return np.stack([vote(found[i], labels, i, 20) for i in range(w.n)])


def frozen_vote(w: World) -> list[float]:
    return [lead_of_others(votes, int(y)) for votes, y in zip(frozen_votes(w), w.train.labels, strict=True)]


def held_out_guesses(w: World, penalty: float) -> Doubles:
    """Ridge regression on one-hot labels without the sample, in standardised embeddings or features of the first checkpoint."""
    x = w.train.b[0] if w.frozen is None else w.frozen
    x = (x - x.mean(0)) / x.std(0, ddof=1)
    x, y = np.column_stack([x, np.ones(w.n)]), np.eye(CLASSES)[w.train.labels]
    found = np.empty((w.n, CLASSES))
    for i in range(w.n):
        rest = np.arange(w.n) != i
        gram = x[rest].T @ x[rest] + penalty * w.n * np.eye(x.shape[1])
        found[i] = x[i] @ np.linalg.solve(gram, x[rest].T @ y[rest])
    return found


def best_guesses(w: World) -> Doubles:
    y = np.eye(CLASSES)[w.train.labels]
    tried = [held_out_guesses(w, penalty) for penalty in (0.001, 0.01, 0.1, 1.0)]
    return min(tried, key=lambda found: float(((found - y) ** 2).sum()))


def held_out_guess(w: World) -> list[float]:
    return [lead_of_others(guess, int(y)) for guess, y in zip(best_guesses(w), w.train.labels, strict=True)]


def support_self(w: World) -> list[float]:
    def missing(w: World, t: int, i: int) -> float:
        members = [j for j, y in enumerate(w.train.labels) if y == w.train.labels[i]]
        found = cosines(w.train.a[t, [i]], w.train.a[t, [j for j in members if j != i]])[0]
        return 1 - statistics.fmean(largest(found, len(members) // 2))

    return over_checkpoints(w, missing, w.searched)


def scaled(values: list[float], unit: list[float], least: float = 0.0, high: float = 0.95) -> list[float]:
    """0 at the median of `unit`, 1 at its quantile `high`, and at least `least` between them."""
    middle, top = np.quantile(unit, [0.5, high])
    return [float((value - middle) / max(top - middle, least)) for value in values]


def label_distance(w: World) -> list[float]:
    found = []
    for i, y in enumerate(w.train.labels):
        members = [j for j, other in enumerate(w.train.labels) if other == y]
        distances = sorted(math.dist(w.train.b[0, i], w.train.b[0, j]) for j in members if j != i)
        found.append(math.log(distances[len(members) // 2 - 1]))
    return scaled(found, found)


def halves(rows: list[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Every way to divide rows into two parts."""
    for size in range(1, len(rows) // 2 + 1):
        for chosen in itertools.combinations(rows, size):
            yield list(chosen), [row for row in rows if row not in chosen]


def spread(x: Doubles) -> float:
    return float(((x - x.mean(0)) ** 2).sum())


@cache
def label_split(w: World) -> list[float]:
    found = [0.0] * w.n
    for label in range(CLASSES):
        x = w.train.b[0]
        rows = [i for i, y in enumerate(w.train.labels) if y == label]
        if len(rows) < 8:
            continue
        one, other = min(halves(rows), key=lambda parts: spread(x[parts[0]]) + spread(x[parts[1]]))
        tighter = min(one, other, key=lambda half: spread(x[half]) / len(half))
        line = x[rows] @ (x[one].mean(0) - x[other].mean(0))
        inside = np.isin(rows, one)
        between = inside.mean() * (1 - inside.mean()) * (line[inside].mean() - line[~inside].mean()) ** 2
        for i in tighter:
            found[i] = float(between / line.var())
    return found


@cache
def mahalanobis(w: World) -> list[float]:
    x, labels = w.train.b[0], [int(y) for y in w.train.labels]

    def squares(counted: list[int]) -> list[float]:
        def mean(label: int, without: int | None = None) -> Doubles:
            return np.asarray(np.mean([x[j] for j in counted if labels[j] == label and j != without], axis=0))

        apart = np.array([x[j] - mean(labels[j]) for j in counted])
        shape = apart.T @ apart / len(counted)
        inverse = np.linalg.inv(shape + np.diag(0.01 * np.diag(shape)))
        away = [x[i] - mean(y, i) for i, y in enumerate(labels)]
        return [float(one @ inverse @ one) for one in away]

    first = squares(list(range(w.n)))
    usual = sorted(first)[math.ceil(0.9 * w.n) - 1]
    second = squares([i for i, square in enumerate(first) if square <= usual])
    found = [math.log(math.sqrt(square)) for square in second]
    return scaled(found, found)


@cache
def isolation(w: World) -> list[float]:
    x = w.train.b[0]
    found = [math.log(sorted(np.delete(row, i))[9]) for i, row in enumerate(distances(x, x))]
    return scaled(found, found)


# Against a trusted reference.


def influence_density(w: World) -> list[float]:
    def mean(near: Doubles) -> float:
        return statistics.fmean(math.exp((cosine - 1) / 0.1) for cosine in near)

    columns = []
    for t in w.searched:
        train, known = cosines(w.train.g[t], w.train.g[t]), cosines(w.train.g[t], w.reference.g[t])
        columns.append([math.log(mean(np.delete(train[i], i))) - math.log(mean(known[i])) for i in range(w.n)])
    return mean_ranks(*columns)


def support(w: World, t: int, i: int, labels: set[int]) -> float:
    columns = [j for j, y in enumerate(w.reference.labels) if int(y) in labels]
    return 1 - statistics.fmean(largest(cosines(w.train.b[t, [i]], w.reference.b[t, columns])[0], 10))


def support_same(w: World) -> list[float]:
    return over_checkpoints(w, lambda w, t, i: support(w, t, i, {int(w.train.labels[i])}), w.searched)


def support_all(w: World) -> list[float]:
    return over_checkpoints(w, lambda w, t, i: support(w, t, i, set(range(CLASSES))), w.searched)


Measure = Callable[[Doubles, Doubles, bool], list[float]]


def mean_where_alike(columns: list[list[float]]) -> list[float]:
    """Over the first checkpoint and each at which the median of the training samples is at most 0.3."""
    kept = [z for t, z in enumerate(columns) if t == 0 or sorted(z)[(len(z) - 1) // 2] <= 0.3]
    return [statistics.fmean(row) for row in zip(*kept, strict=True)]


def compared(w: World, measure: Measure) -> list[float]:
    """Mean over checkpoints of a measure of each sample, in units of the reference samples, each itself left out."""
    columns = []
    for t in w.searched:
        centre = np.concatenate([w.train.b[t], w.reference.b[t]]).mean(0)
        train, known = w.train.b[t] - centre, w.reference.b[t] - centre
        columns.append(scaled(measure(train, known, False), measure(known, known, True)))
    return mean_where_alike(columns)


def kth_nearest(found: Doubles, *, itself: bool) -> list[float]:
    """Distance to the k-th nearest reference sample, the row itself left out."""
    k = min(5, max(1, found.shape[1] // 100))
    return [sorted(np.delete(row, i) if itself else row)[k - 1] for i, row in enumerate(found)]


@cache
def remoteness(w: World) -> list[float]:
    def measure(rows: Doubles, known: Doubles, itself: bool) -> list[float]:
        usual = sorted(min(np.delete(row, i)) for i, row in enumerate(distances(known, known)))
        # torch's median of an even number is the lower one of the two in the middle.
        smallest = 0.05 * usual[(len(usual) - 1) // 2]
        return [math.log(one + smallest) for one in kth_nearest(distances(rows, known), itself=itself)]

    return compared(w, measure)


@cache
def crowding(w: World) -> list[float]:
    def crowd(rows: Doubles, known: Doubles, train: Doubles, itself: bool) -> list[float]:
        radii, found = kth_nearest(distances(rows, known), itself=itself), distances(rows, train)
        # Of training rows the row itself, at distance 0, is left out.
        return [math.log(1 + sum(0 < one <= radius for one in row)) for row, radius in zip(found, radii, strict=True)]

    columns = []
    for t in w.searched:
        train, known = w.train.b[t], w.reference.b[t]
        reference = crowd(known, known, train, True)
        usual = float(np.quantile(reference, 0.5))
        one_more = math.log(math.exp(usual) + 1) - usual
        columns.append(scaled(crowd(train, known, train, False), reference, least=one_more))
    return mean_where_alike(columns)


@cache
def divergence(w: World) -> list[float]:
    def directions(rows: Doubles) -> Doubles:
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    def measure(rows: Doubles, known: Doubles, itself: bool) -> list[float]:
        found = distances(directions(rows), directions(known))
        return [math.log(one + 1e-4) for one in kth_nearest(found, itself=itself)]

    return compared(w, measure)


# The two answers.


def anomalous(w: World) -> list[float]:
    if w.trusted:
        z = [max(row) for row in zip(remoteness(w), crowding(w), divergence(w), strict=True)]
    else:
        apart = [(gap - 0.8) / 0.06 if gap > 0.86 else -math.inf for gap in label_split(w)]
        far = [
            [0.41 * one for one in scaled(found, found, high=0.75)]
            for found in (label_distance(w), mahalanobis(w), isolation(w))
        ]
        z = [max(row) for row in zip(*far, apart, strict=True)]
    return [1 - 1 / (1 + 19 ** (1 + math.log(value) if value > 1 else value)) for value in z]


def believed(guess: Doubles, labels: list[int]) -> list[int | None]:
    """The confident joint: the class that is as probable as for the samples that carry it; where several are, the likeliest."""
    classes = guess.shape[1]
    usual = [statistics.fmean(guess[i, c] for i, y in enumerate(labels) if y == c) for c in range(classes)]
    found: list[int | None] = []
    for row in guess:
        probable = [c for c in range(classes) if row[c] >= usual[c] - 1e-6]
        likeliest = max(range(classes), key=lambda c: float(row[c]))
        found.append(None if not probable else probable[0] if len(probable) == 1 else likeliest)
    return found


def odds_of_error(guess: Doubles, labels: list[int]) -> list[float]:
    found = believed(guess, labels)
    result = []
    for i, y in enumerate(labels):
        odds = 0.0
        for c in range(CLASSES):
            if c == y:
                continue
            of_others = [given for best, given in zip(found, labels, strict=True) if best == c != given]
            joint = (of_others.count(y) + 1) / (len(of_others) + CLASSES - 1)
            odds += (joint + 1 / (CLASSES - 1)) / 2 * guess[i, c] / guess[i, y]
        result.append(odds)
    return result


def share_of_votes(own_guess: list[float], own_votes: list[float], chance: list[float]) -> float:
    """The weight of the votes beside the guess, in the mixture of both and chance of the largest likelihood."""
    shares = [1 / 3, 1 / 3, 1 / 3]
    for _ in range(20_000):
        new = [0.0, 0.0, 0.0]
        for three in zip(own_guess, own_votes, chance, strict=True):
            parts = [share * max(p, 1e-9) for share, p in zip(shares, three, strict=True)]
            for k in range(3):
                new[k] += parts[k] / sum(parts) / len(own_guess)
        moved = max(abs(a - b) for a, b in zip(shares, new, strict=True))
        shares = new
        if moved < 1e-5:
            break
    return shares[1] / (shares[0] + shares[1])


def mislabeled(w: World) -> list[float]:
    if not w.predictions:
        parts, weights = [ranks(confusions(w)[0])], [1.0]
        if w.trusted:
            parts, weights = [*parts, ranks(gc_own(w))], [*weights, 0.25]
        return [sum(map(math.prod, zip(weights, row, strict=True))) / sum(weights) for row in zip(*parts, strict=True)]
    labels = w.train.labels.tolist()
    given, voted = w.train.p[0], votes(w)
    share = share_of_votes(
        [given[i, y] for i, y in enumerate(labels)],
        [voted[i, y] for i, y in enumerate(labels)],
        [labels.count(y) / w.n for y in labels],
    )
    parts = [
        ranks([-margins(w, i)[0] for i in range(w.n)]),
        ranks(odds_of_error((1 - share) * given + share * voted, labels)),
        ranks(LITERAL["knn_vote"](w)),
    ]
    return [(one + two + 2 * share * three) / (2 + 2 * share) for one, two, three in zip(*parts, strict=True)]


def of_sum_one(scores: Doubles) -> Doubles:
    positive = np.maximum(scores, 0.001)
    return np.asarray(positive / positive.sum(1, keepdims=True))


def agreeing(scores: Doubles, labels: list[int]) -> float:
    return statistics.fmean(int(row.argmax()) == y for row, y in zip(scores, labels, strict=True))


def likeliest_mixture(guess: Doubles, voted: Doubles, labels: list[int]) -> Doubles:
    share = share_of_votes(
        [guess[i, y] for i, y in enumerate(labels)],
        [voted[i, y] for i, y in enumerate(labels)],
        [labels.count(y) / len(labels) for y in labels],
    )
    return (1 - share) * guess + share * voted


def held_out(guess: Doubles, first: Doubles, mean: Doubles, frozen: Doubles | None, labels: list[int]) -> Doubles:
    if frozen is not None:
        return likeliest_mixture(of_sum_one(guess), of_sum_one(frozen), labels)
    early, late = (likeliest_mixture(of_sum_one(guess), of_sum_one(votes), labels) for votes in (first, mean))
    contradicted, again = 1 - agreeing(early, labels), 1 - agreeing(late, labels)
    return early if contradicted - again > contradicted / 3 else late


def surest(h: Doubles, labels: list[int]) -> list[tuple[int, int]]:
    """Class and label of the seven tenths of each class, rounded up, that lead by most."""
    found = believed(h, labels)
    pairs = []
    for c in range(h.shape[1]):
        placed = [i for i, best in enumerate(found) if best == c]
        placed.sort(key=lambda i: h[i, c] - max(h[i, k] for k in range(h.shape[1]) if k != c), reverse=True)
        pairs += [(c, labels[i]) for i in placed[: math.ceil(7 * len(placed) / 10)]]
    return pairs


def margin_with_confusions(logits: Doubles, h: Doubles, labels: list[int]) -> tuple[list[float], float]:
    """The scores, and d."""
    classes = h.shape[1]
    w = min(0.5, 2 * max(0.0, agreeing(logits[-1], labels) - agreeing(h, labels) - 0.02))
    pairs = surest(h, labels)
    placed = [sum(c == one for one, _ in pairs) for c in range(classes)]
    number = [[0 if c == y else pairs.count((c, y)) for y in range(classes)] for c in range(classes)]
    total = sum(map(sum, number))
    usual = total / len(pairs)

    def share(c: int, y: int) -> tuple[float, float]:
        part = (number[c][y] + usual) / (placed[c] + 1)
        return part, part * (1 - part) / (placed[c] + 2)

    def excess(c: int, y: int) -> float:
        there, back, alike = number[c][y], number[y][c], labels.count(y) / labels.count(c)
        (often, varies), (often_back, varies_back) = share(c, y), share(y, c)
        return max(
            0.0,
            min(
                there - back - 2 * math.sqrt(there + back),
                there - alike * back - 2 * math.sqrt(there + alike**2 * back),
                placed[c] * (often - often_back - 2 * math.sqrt(varies + varies_back)),
            ),
        )

    one_way = sum(excess(c, y) for c in range(classes) for y in range(classes))
    directed = min(1.0, 5 * one_way / total) if total else 0.0

    def counts(c: int, y: int) -> float:
        beside: float = (number[c][y] + 1 + 8 * excess(c, y)) / (classes - 1 + sum(number[c]))
        weight: float = 1 + directed * (classes - 1) * beside
        return weight

    def odds(z: Doubles, i: int) -> float:
        p = np.exp(z[i] - z[i].max())
        q, y = (1 - w) * p / p.sum() + w * h[i], labels[i]
        return math.log(max(counts(c, y) * q[c] for c in range(classes) if c != y) / q[y])

    return [statistics.fmean(odds(z, i) for z in logits) for i in range(len(labels))], directed


@cache
def confusions(w: World) -> tuple[list[float], float]:
    labels = w.train.labels.tolist()
    if w.out_of_bag is not None:
        h = (w.train.p[-1] + w.out_of_bag) / 2
        return margin_with_confusions(np.log(h)[None], h, labels)
    # No world of these tests is without embeddings, so votes of checkpoints are not asked.
    h = held_out(best_guesses(w), votes(w), votes(w), frozen_votes(w), labels)
    if w.by_trees is None:
        return margin_with_confusions(w.train.z, h, labels)
    together = np.log(0.4 * w.train.p + 0.6 * w.by_trees)
    return margin_with_confusions(together, likeliest_mixture(h, w.by_trees, labels), labels)


def out_of_bag(w: World, i: int) -> float:
    return 1 - float(w.out_of_bag[i, w.train.labels[i]]) if w.out_of_bag is not None else math.nan


LITERAL: dict[str, Literal] = {
    "mislabeled": mislabeled,
    "anomalous": anomalous,
    "si": each(lambda w, i: sum(self_influence(w, i))),
    "aai": each(lambda w, i: statistics.fmean(abs(v) for v in every(w, i))),
    "mai": each(lambda w, i: sum(abs(v) for v in every(w, i))),
    "mi": each(lambda w, i: -sum(every(w, i))),
    "mpi": each(lambda w, i: positive(every(w, i))),
    "mni": each(lambda w, i: -negative(every(w, i))),
    "gd_class": each(lambda w, i: -min(sum(of_class(w, i, c)) for c in range(CLASSES))),
    "nil": each(lambda w, i: -negative(own(w, i))),
    "nil_opt": each(lambda w, i: -min(negative(of_class(w, i, c)) for c in range(CLASSES))),
    "slip": each(lambda w, i: -sum(v > 0 for v in own(w, i))),
    "slin": each(lambda w, i: sum(v < 0 for v in own(w, i))),
    "cnci": each(cnci),
    "pcid": each(pcid),
    "cfrank": lambda w: [max(pair) for pair in zip(ranks(each(cnci)(w)), ranks(each(pcid)(w)), strict=True)],
    "relatif": each(relatif),
    "gc_own": gc_own,
    "gc_margin": gc_margin,
    "aum": each(lambda w, i: -statistics.fmean(margins(w, i))),
    "aum_early": each(aum_early),
    "confusion_margin": lambda w: confusions(w)[0],
    "el2n": each(el2n),
    "grand": each(lambda w, i: statistics.fmean(float(np.linalg.norm(g[i])) for g in w.train.g)),
    "loss": each(lambda w, i: statistics.fmean(-math.log(p) for p in confidences(w, i))),
    "final_loss": each(lambda w, i: -math.log(confidences(w, i)[-1])),
    "out_of_bag": each(out_of_bag),
    "confidence": each(lambda w, i: -statistics.fmean(confidences(w, i))),
    "variability": each(lambda w, i: statistics.pstdev(confidences(w, i))),
    "forgetting": each(forgetting),
    "late_influence": each(late_influence),
    "knn_vote": each(knn_vote),
    "frozen_vote": frozen_vote,
    "held_out_guess": held_out_guess,
    "influence_density": influence_density,
    "support_same": support_same,
    "support_all": support_all,
    "remoteness": remoteness,
    "crowding": crowding,
    "divergence": divergence,
    "support_self": support_self,
    "label_distance": label_distance,
    "label_split": label_split,
    "mahalanobis": mahalanobis,
    "isolation": isolation,
}
