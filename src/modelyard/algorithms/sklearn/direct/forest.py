"""Forests and trees: which leaf each tree ends in, then the leaves' values added in the order of the trees.

One row walks down all trees at once, a level per step, with array operations; several rows ask each tree's compiled
`apply`, which costs a microsecond per tree whether it gets one row or thirty. Both find the same leaves.
"""

from __future__ import annotations

import numpy as np

FORESTS = {"RandomForestClassifier", "ExtraTreesClassifier", "RandomForestRegressor", "ExtraTreesRegressor"}
TREES = {"DecisionTreeClassifier", "ExtraTreeClassifier", "DecisionTreeRegressor", "ExtraTreeRegressor"}
MOST_VALUES = 8_000_000
"""Numbers in all nodes together; above, a second copy of the forest would be felt in memory."""
LEVEL, TREE = 4.5, 1.2
"""Microseconds of a level of the walk, and of a call of `apply`."""


def forest(model: object) -> Forest | None:
    """The short way of a forest with one output, or None."""
    if type(model).__name__ not in FORESTS or not type(model).__module__.startswith("sklearn.ensemble.") or model.n_outputs_ != 1:
        return None
    return Forest([each.tree_ for each in model.estimators_], getattr(model, "classes_", None), len(model.estimators_))


def tree(model: object) -> Forest | None:
    """The short way of a single tree with one output, or None."""
    if type(model).__name__ not in TREES or not type(model).__module__.startswith("sklearn.tree.") or model.n_outputs_ != 1:
        return None
    return Forest([model.tree_], getattr(model, "classes_", None), None)


class Forest:
    """All nodes of all trees in one table. `mean_of` is the number the sum is divided by, None for a single tree."""

    def __init__(self, trees: list, classes: np.ndarray | None, mean_of: int | None):
        self.classes, self.mean_of = classes, mean_of
        self.apply = [each.apply for each in trees]
        counts = [each.node_count for each in trees]
        if sum(counts) * trees[0].value.shape[2] > MOST_VALUES:
            raise TypeError("a very large forest")
        self.roots = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.intp)
        self.column = self.roots[:, None]
        leaf = np.concatenate([each.children_left < 0 for each in trees])
        feature = np.concatenate([each.feature for each in trees])
        threshold = np.concatenate([each.threshold for each in trees])
        self.edges = feature[~leaf], threshold[~leaf]
        self.depth: int = max(each.max_depth for each in trees)
        self.walks = self.depth * LEVEL < len(trees) * TREE
        if self.walks:
            here = np.arange(len(leaf))
            left, right = (
                np.where(leaf, here, np.concatenate([part + root for part, root in zip(parts, self.roots, strict=True)]))
                for parts in ([each.children_left for each in trees], [each.children_right for each in trees])
            )
            self.feature = np.where(leaf, 0, feature).astype(np.intp)
            self.threshold = np.where(leaf, np.inf, threshold)
            self.child = np.stack([left, right], axis=1).ravel().astype(np.intp)
        self.values = self._values(trees) + 0.0  # Plus 0.0: a sum that begins with zeros has no -0.0.

    def _values(self, trees: list) -> np.ndarray:
        """What a tree answers at each node: shares of the classes, or one number."""
        values = np.concatenate([each.value[:, 0, :] for each in trees])
        if self.classes is None or self.mean_of is None or _fractions():
            return values
        total = values.sum(axis=1)[:, np.newaxis]
        total[total == 0.0] = 1.0
        return values / total

    def __call__(self, rows: np.ndarray, _counts: list[int]) -> np.ndarray:
        nodes = self._walk(rows[0])[:, None] if self.walks and len(rows) == 1 else self._leaves(rows)
        found = self.values.take(nodes, axis=0)
        if self.mean_of is None:
            total = found[0]
        else:
            # Added tree by tree, as scikit-learn does. numpy adds the first axis so, unless there is no other one.
            total = np.add.reduce(found, axis=0) if found[0].size > 1 else np.add.accumulate(found, axis=0)[-1]
            total /= self.mean_of
        return total[:, 0] if self.classes is None else self.classes.take(total.argmax(axis=1), axis=0)

    def _walk(self, row: np.ndarray) -> np.ndarray:
        node = self.roots
        feature, threshold, child = self.feature, self.threshold, self.child
        for _ in range(self.depth):
            node = child.take((node << 1) + (row.take(feature.take(node)) > threshold.take(node)))
        return node

    def _leaves(self, rows: np.ndarray) -> np.ndarray:
        return np.array([apply(rows) for apply in self.apply]) + self.column


def _fractions() -> bool:
    """Whether this scikit-learn's trees keep shares, which its forests add as they are (1.3 on), or counts."""
    import sklearn

    return tuple(map(int, sklearn.__version__.split(".")[:2])) >= (1, 3)
