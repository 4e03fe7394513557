"""Names of the evaluation metrics the algorithm accepts, and the ones it computes itself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MAXIMIZE = [
    "accuracy", "auc", "aucpr", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "map", "ndcg", "precision", "r2", "recall",
    "precision_macro", "precision_micro", "recall_macro", "recall_micro",
]  # fmt: skip
MINIMIZE = [
    "aft-nloglik", "cox-nloglik", "error", "gamma-deviance", "gamma-nloglik", "interval-regression-accuracy", "logloss", "mae", "mape",
    "merror", "mlogloss", "mphe", "mse", "poisson-nloglik", "rmse", "rmsle", "tweedie-nloglik",
]  # fmt: skip

OWN = [
    "accuracy", "balanced_accuracy", "f1", "f1_binary", "f1_macro", "mse", "r2", "precision", "recall",
    "precision_macro", "precision_micro", "recall_macro", "recall_micro",
]  # fmt: skip
"""Computed here with scikit-learn, because XGBoost has no metric of that name."""


def own_metric(names: list[str], objective: str | None) -> Callable:
    """A function (predictions, DMatrix) -> [(name, value)] for xgboost.train; predictions as XGBoost transforms them."""

    def evaluate(predictions: np.ndarray, matrix: object) -> list[tuple[str, float]]:
        labels = matrix.get_label()
        classes = _classes(predictions, objective)
        return [(name, float(_score(name, labels, predictions, classes))) for name in names]

    return evaluate


def _classes(predictions: np.ndarray, objective: str | None) -> np.ndarray:
    """Class labels from what XGBoost hands to a metric: a row of scores per class, a probability or a label."""
    if predictions.ndim > 1:
        return np.argmax(predictions, axis=-1)
    if objective == "binary:logitraw":
        return (predictions > 0).astype(int)
    return predictions.astype(int) if objective == "multi:softmax" else (predictions > 0.5).astype(int)


def _score(name: str, labels: np.ndarray, predictions: np.ndarray, classes: np.ndarray) -> float:
    from sklearn import metrics

    if name == "accuracy":
        return metrics.accuracy_score(labels, classes)
    if name == "balanced_accuracy":
        return metrics.balanced_accuracy_score(labels, classes)
    if name in ("mse", "r2"):
        return {"mse": metrics.mean_squared_error, "r2": metrics.r2_score}[name](labels, predictions)
    base, _, average = name.partition("_")
    average = average or ("macro" if base == "f1" else "binary")
    return {"f1": metrics.f1_score, "precision": metrics.precision_score, "recall": metrics.recall_score}[base](
        labels, classes, average=average
    )
