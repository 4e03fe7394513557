"""A forest of random cut trees over numpy, and the anomaly score of a point.

A tree divides its samples by cuts: the dimension is drawn in proportion to the lengths of the samples' bounding box, the place evenly
along it (Guha, Mishra, Roy, Schrijvers, "Robust Random Cut Forest Based Anomaly Detection On Streams", ICML 2016). A point's score is
what its insertion would look like: going down, at each node the chance that a cut would part the point from the node's samples
is the share of the box's growth; a point parted at depth d counts 1/(d+1). Sums are scaled by log2(samples + 1), so that usual points
score around 1 or below whatever the size of the trees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PAIRS_AT_ONCE = 1 << 19
"""Numbers (pairs of row and tree, times features) that one step of scoring works on."""


@dataclass
class Forest:
    """All trees in arrays of nodes; `roots` are the places of the trees' first nodes, `left` is -1 for a leaf. `low` and `high` are
    the bounding box of a node's samples, `mass` how many they are, `size` the samples of a tree."""

    roots: np.ndarray
    left: np.ndarray
    right: np.ndarray
    dimension: np.ndarray
    cut: np.ndarray
    mass: np.ndarray
    low: np.ndarray
    high: np.ndarray
    size: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        return dict(vars(self))

    def score(self, rows: np.ndarray) -> np.ndarray:
        """The anomaly score of each row."""
        rows = np.asarray(rows, np.float64)
        step = max(1, PAIRS_AT_ONCE // (len(self.roots) * rows.shape[1]))
        parts = [self._score(rows[start : start + step]) for start in range(0, len(rows), step)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _score(self, rows: np.ndarray) -> np.ndarray:
        """All pairs of a row and a tree go down together, a level at a time; `left_over` is the chance not to be parted yet."""
        trees = len(self.roots)
        pair, node = np.repeat(np.arange(len(rows)), trees), np.tile(self.roots, len(rows))
        total, left_over, depth = np.zeros(len(rows)), np.ones(len(pair)), 0
        while len(pair):
            points = rows[pair]
            low, high = self.low[node], self.high[node]
            outside = (np.maximum(low - points, 0) + np.maximum(points - high, 0)).sum(1)
            parted = np.divide(outside, outside + (high - low).sum(1), out=np.zeros(len(pair)), where=outside > 0)
            leaf = self.left[node] < 0
            own = np.where(leaf & (outside == 0), self._seen(node, depth), 0.0)
            worth = np.where(parted > 0, parted / (depth + 1.0), 0.0) + own
            total += np.bincount(pair, left_over * worth, len(rows))
            go = ~leaf & (parted < 1)
            pair, node, points, left_over = pair[go], node[go], points[go], (left_over * (1 - parted))[go]
            to_left = points[np.arange(len(pair)), self.dimension[node]] <= self.cut[node]
            node = np.where(to_left, self.left[node], self.right[node])
            depth += 1
        return total / trees * np.log2(float(self.size) + 1)

    def _seen(self, node: np.ndarray, depth: int) -> np.ndarray:
        """What a point counts that is one of a leaf's samples: the more of them are equal, the less."""
        damp = 1 - self.mass[node] / (2.0 * float(self.size))
        return damp / (depth + np.log2(1.0 + self.mass[node]))


def build(rows: np.ndarray, trees: int, size: int, random: np.random.RandomState) -> Forest:
    """A forest whose trees have `size` samples each, drawn without repetition."""
    nodes: list[tuple] = []
    roots = [_grow(rows[random.permutation(len(rows))[:size]], nodes, random) for _ in range(trees)]
    left, right, dimension, cut, mass, low, high = zip(*nodes, strict=True)
    return Forest(
        np.array(roots),
        np.array(left),
        np.array(right),
        np.array(dimension),
        np.array(cut),
        np.array(mass),
        np.array(low),
        np.array(high),
        np.array(size),
    )


def _grow(samples: np.ndarray, nodes: list[tuple], random: np.random.RandomState) -> int:
    """Adds a tree's nodes (children before their parent) and answers the place of its root. Without recursion: a tree of samples
    far apart can be as deep as it has samples."""
    built: list[int] = []
    work: list[tuple[np.ndarray | None, tuple | None]] = [(samples, None)]
    while work:
        points, made = work.pop()
        if points is None:
            right, left = built.pop(), built.pop()
            dimension, cut, mass, low, high = made
            nodes.append((left, right, dimension, cut, mass, low, high))
            built.append(len(nodes) - 1)
            continue
        low, high = points.min(0), points.max(0)
        lengths = high - low
        whole = lengths.sum()
        if whole <= 0:
            nodes.append((-1, -1, 0, 0.0, len(points), low, high))
            built.append(len(nodes) - 1)
            continue
        dimension = int(np.searchsorted(np.cumsum(lengths), random.uniform(0, whole)).clip(max=len(lengths) - 1))
        while lengths[dimension] <= 0:
            dimension -= 1
        cut = random.uniform(low[dimension], high[dimension])
        to_left = points[:, dimension] <= cut
        if to_left.all():  # rounding took the cut to the upper end
            to_left = points[:, dimension] < high[dimension]
            cut = points[to_left, dimension].max()
        work.append((None, (dimension, cut, len(points), low, high)))
        work.append((points[~to_left], None))
        work.append((points[to_left], None))
    return built[0]
