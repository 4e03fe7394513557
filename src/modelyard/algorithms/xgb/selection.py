"""Selectable inference: SAGEMAKER_INFERENCE_OUTPUT names what an answer tells about each prediction.

Source: docs.aws.amazon.com/sagemaker/latest/dg/xgboost.html (selectable inference) and AWS's container.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import numpy as np

from ..recordio import write
from ..serving.messages import Response

REGRESSIONS = ("reg:squarederror", "reg:logistic", "reg:gamma", "reg:absoluteerror", "reg:tweedie")
LABELLED = ("predicted_label", "labels", "raw_score", "raw_scores")
PROBABLE = ("predicted_label", "labels", "probability", "probabilities", "raw_score", "raw_scores")
OBJECTIVES = dict.fromkeys(REGRESSIONS, ("predicted_score",)) | {
    "binary:logistic": PROBABLE,
    "binary:logitraw": LABELLED,
    "binary:hinge": LABELLED,
    "multi:softmax": LABELLED,
    "multi:softprob": PROBABLE,
}


def answer(predictions: np.ndarray, selected: str, model: object, accept: str, batch: bool) -> Response:
    """The answer to one request, or 500 for an objective that has no selectable output, as AWS's server does."""
    keys = selected.replace(" ", "").lower().split(",")
    try:
        rows = select(predictions, keys, model.objective, model.classes)
    except ValueError as error:
        logging.exception("Selection failed")
        return Response(500, str(error).encode(), "text/html; charset=utf-8")
    if accept == "application/json":
        return Response(200, json.dumps({"predictions": rows}).encode(), accept)
    if accept == "application/jsonlines":
        return Response(200, "".join(json.dumps(row) + "\n" for row in rows).encode(), accept)
    if accept == "application/x-recordio-protobuf":
        listed = [{key: value if isinstance(value, list) else [value] for key, value in row.items()} for row in rows]
        return Response(200, write(listed), accept)
    lines = (",".join(f'"{row[key]}"' if isinstance(row[key], list) else str(row[key]) for key in keys) for row in rows)
    return Response(200, ("\n".join(lines) + ("\n" if batch else "")).encode(), "text/csv; charset=utf-8")


def select(predictions: np.ndarray, keys: list[str], objective: str, classes: str) -> list[dict]:
    """One mapping per prediction; a key that the objective does not have is NaN."""
    valid = OBJECTIVES.get(objective)
    if valid is None:
        raise ValueError(f"Objective `{objective}` unsupported for selectable inference predictions.")
    if unknown := sorted(set(keys) - set(valid)):
        logging.warning("Selected key(s) %s incompatible for objective '%s'. Please use list of compatible selectable "
                        "inference predictions: %s", unknown, objective, list(valid))  # fmt: skip
    return [{key: FIELDS[key](objective, value, classes) if key in valid else float("nan") for key in keys} for value in predictions]


def _predicted_label(objective: str, value: np.ndarray, _classes: str) -> float:
    if objective == "binary:logistic":
        return int(value > 0.5)
    if objective == "binary:logitraw":
        return int(value > 0)
    return int(np.argmax(value)) if objective == "multi:softprob" else value.item()


def _labels(objective: str, _value: np.ndarray, classes: str) -> list[int]:
    return [0, 1] if objective.startswith("binary:") else list(range(int(classes or 0)))


def _score(objective: str, value: np.ndarray, _classes: str) -> float:
    return max(value).item() if objective == "multi:softprob" else value.item()


def _scores(objective: str, value: np.ndarray, _classes: str) -> list[float]:
    return value.tolist() if objective == "multi:softprob" else [1.0 - value.item(), value.item()]


FIELDS: dict[str, Callable] = {
    "predicted_label": _predicted_label,
    "labels": _labels,
    "probability": _score,
    "probabilities": _scores,
    "raw_score": _score,
    "raw_scores": _scores,
    "predicted_score": lambda _objective, value, _classes: value.item(),
}
