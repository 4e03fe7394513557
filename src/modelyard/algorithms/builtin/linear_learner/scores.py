"""How good a model is: the threshold of a binary classifier by the job's criterion, and the metrics of the final lines."""

from __future__ import annotations

import numpy as np

Metrics = list[tuple[str, float, bool]]
"""(name, value, whether it is a loss)."""


def threshold(scores: np.ndarray, labels: np.ndarray, given: dict, usual: float) -> tuple[float, float]:
    """(threshold, value of the criterion there) for predictions `score > threshold`. Every place between two scores is tried; of equally
    good ones the nearest to the usual threshold is taken, which stays as it is where it parts the scores in the same place."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], labels[order] > 0.5
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    right, taken = np.concatenate([[0], np.cumsum(hits)[ends]]), np.concatenate([[0], ends + 1])
    inside, outside = np.concatenate([[np.inf], ranked[ends]]), np.concatenate([ranked[ends], [-np.inf]])
    places = np.concatenate([[ranked[0]], (inside[1:-1] + outside[1:-1]) / 2, [ranked[-1] - 1e-6]])
    places = np.where((outside <= usual) & (usual < inside), usual, places)
    value = _criterion(right, taken, int(hits.sum()), len(labels), given)
    best = np.flatnonzero(value >= value.max() - 1e-12)
    chosen = best[np.abs(places[best] - usual).argmin()]
    return float(places[chosen]), float(value[chosen])


def _criterion(right: np.ndarray, taken: np.ndarray, positives: int, total: int, given: dict) -> np.ndarray:
    precision, recall = right / np.maximum(taken, 1), right / max(positives, 1)
    kind = given["binary_classifier_model_selection_criteria"]
    if kind in ("f_beta", "f1"):
        square = given["f_beta"] ** 2 if kind == "f_beta" else 1.0
        return (1 + square) * precision * recall / np.maximum(square * precision + recall, 1e-12)
    if kind == "precision_at_target_recall":
        return np.where(recall >= given["target_recall"], precision, recall - 2)
    if kind == "recall_at_target_precision":
        return np.where(precision >= given["target_precision"], recall, precision - 2)
    return (total - positives + 2 * right - taken) / total


def binary(scores: np.ndarray, labels: np.ndarray, limit: float, given: dict) -> Metrics:
    from sklearn.metrics import fbeta_score, roc_auc_score

    said, truth = scores > limit, labels > 0.5
    right = int((said & truth).sum())
    precision, recall = right / max(int(said.sum()), 1), right / max(int(truth.sum()), 1)
    beta = given["f_beta"]
    found = [
        ("binary_classification_accuracy", float((said == truth).mean()), False),
        (f"binary_f_{beta:.3f}", float(fbeta_score(truth, said, beta=beta, zero_division=0)), False),
        ("precision", precision, False),
        ("recall", recall, False),
    ]
    if 0 < truth.sum() < len(truth):
        found.append(("roc_auc_score", float(roc_auc_score(truth, scores)), False))
    return found


def multiclass(scores: np.ndarray, labels: np.ndarray, given: dict) -> Metrics:
    from sklearn.metrics import precision_recall_fscore_support

    truth, said = labels.astype(int), scores.argmax(1)
    rank = (scores > scores[np.arange(len(truth)), truth][:, None]).sum(1)
    top = min(given["accuracy_top_k"], scores.shape[1])
    precision, recall, f_beta, _ = precision_recall_fscore_support(
        truth, said, beta=given["f_beta"], average="macro", zero_division=0, labels=np.unique(truth)
    )
    return [
        ("multiclass_accuracy", float((said == truth).mean()), False),
        (f"multiclass_top_k_accuracy_{top}", float((rank < top).mean()), False),
        ("dcg", float((1 / np.log2(rank + 2)).mean()), False),
        ("macro_recall", float(recall), False),
        ("macro_precision", float(precision), False),
        (f"macro_f_{given['f_beta']:.3f}", float(f_beta), False),
    ]


def regression(scores: np.ndarray, labels: np.ndarray) -> Metrics:
    off = scores - labels
    return [("mse", float((off**2).mean()), True), ("absolute_loss", float(np.abs(off).mean()), True)]
