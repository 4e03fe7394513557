"""Linear models: one matrix product, the same call that `predict` ends in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

CLASSIFIERS = {
    "LogisticRegression", "LogisticRegressionCV", "SGDClassifier", "Perceptron", "LinearSVC", "PassiveAggressiveClassifier",
    "LinearDiscriminantAnalysis",
}  # fmt: skip
REGRESSORS = {
    "LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "SGDRegressor", "LinearSVR", "HuberRegressor",
    "BayesianRidge", "ARDRegression", "Lars", "LassoLars", "LassoLarsIC", "OrthogonalMatchingPursuit", "PassiveAggressiveRegressor",
}  # fmt: skip


def linear(model: object) -> LinearClassifier | LinearRegressor | None:
    """The short way of one of scikit-learn's linear models, or None."""
    kind = type(model)
    if not kind.__module__.startswith("sklearn."):
        return None
    if kind.__name__ in CLASSIFIERS:
        return LinearClassifier(model)
    return LinearRegressor(model) if kind.__name__ in REGRESSORS else None


class LinearClassifier:
    """The class with the highest score. A product over several rows may round otherwise than one over each request's, so
    when two scores are as close as rounding, each request is computed by itself."""

    edges = None

    def __init__(self, model: object):
        # The transposed view and not a copy: another memory layout would be another routine of the BLAS.
        self.coefficients, self.intercept, self.classes = model.coef_.T, model.intercept_, model.classes_
        bound = np.abs(self.coefficients).sum(axis=0).max(), np.abs(self.intercept).max()
        self.slope, self.offset = (16 * (len(self.coefficients) + 2) * np.finfo(np.float32).eps * value for value in bound)
        if self.coefficients.dtype == np.float64:
            self.slope, self.offset = (v * np.finfo(np.float64).eps / np.finfo(np.float32).eps for v in (self.slope, self.offset))

    def __call__(self, rows: np.ndarray, counts: list[int]) -> np.ndarray:
        scores = rows @ self.coefficients + self.intercept
        if len(counts) > 1 and self._close(scores, rows):
            scores = np.concatenate([part @ self.coefficients for part in apart(rows, counts)]) + self.intercept
        chosen = (scores[:, 0] > 0).astype(np.intp) if scores.shape[1] == 1 else scores.argmax(axis=1)
        return self.classes.take(chosen, axis=0)

    def _close(self, scores: np.ndarray, rows: np.ndarray) -> bool:
        within = self.slope * max(rows.max(), -rows.min()) + self.offset
        if scores.shape[1] == 1:
            return not np.abs(scores).min() > within
        best = np.partition(scores, -2, axis=1)
        return not (best[:, -1] - best[:, -2]).min() > within


class LinearRegressor:
    """The product itself is the answer, so each request is computed by itself: its last bit may not depend on company."""

    edges = None

    def __init__(self, model: object):
        self.coefficients, self.intercept = model.coef_.T, model.intercept_

    def __call__(self, rows: np.ndarray, counts: list[int]) -> np.ndarray:
        if len(counts) == 1:
            return rows @ self.coefficients + self.intercept
        return np.concatenate([part @ self.coefficients for part in apart(rows, counts)]) + self.intercept


def apart(rows: np.ndarray, counts: list[int]) -> Iterator[np.ndarray]:
    """The rows of each request."""
    at = 0
    for count in counts:
        yield rows[at : at + count]
        at += count
