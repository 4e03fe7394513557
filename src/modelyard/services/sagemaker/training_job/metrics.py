"""Metrics of a training job: definitions (regex with one group) applied to each log line."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import regex

NAMESPACE = "/aws/sagemaker/TrainingJobs"
LONGEST_SEARCH_SECONDS = 0.05
"""Of one expression in one line; an expression that takes longer is not tried on the rest of these lines. Expressions are the
users', and one like `(a+)+$` would hold the engine for hours."""
_XGBOOST = (
    "accuracy",
    "auc",
    "aucpr",
    "error",
    "f1",
    "logloss",
    "mae",
    "map",
    "merror",
    "mlogloss",
    "mse",
    "ndcg",
    "precision",
    "r2",
    "recall",
    "rmse",
)


def built_in_definitions(image: str, hyperparameters: dict[str, str]) -> list[dict[str, str]]:
    """What AWS fills in for a built-in algorithm; [] for script mode and for images of one's own."""
    repository = image.rsplit("/", 1)[-1].split(":")[0]
    if repository not in ("sagemaker-xgboost", "xgboost") or "sagemaker_program" in hyperparameters:
        return []
    return [
        {"Name": f"{channel}:{metric}", "Regex": rf".*\[[0-9]+\].*#011{channel}-{metric}:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*"}
        for channel in ("train", "validation")
        for metric in _XGBOOST
    ]


def found(definitions: Iterable[dict[str, str]], lines: Iterable[tuple[float, str]]) -> Iterator[tuple[str, float, float]]:
    """(metric name, value, time) of every match in (time, text) lines, in order."""
    compiled = []
    for definition in definitions:
        try:
            compiled.append((definition["Name"], regex.compile(definition["Regex"])))
        except regex.error:
            continue
    for at, text in lines:
        for one in list(compiled):
            name, pattern = one
            try:
                match = pattern.search(text, timeout=LONGEST_SEARCH_SECONDS)
            except TimeoutError:
                compiled.remove(one)
                continue
            if match and match.re.groups:
                try:
                    value = float(match[1])
                except (TypeError, ValueError):
                    continue
                if math.isfinite(value):
                    yield name, value, at


def final_metrics(matches: Iterable[tuple[str, float, float]]) -> list[dict[str, Any]]:
    """The last value of each metric, as FinalMetricDataList has them."""
    last = {name: {"MetricName": name, "Value": value, "Timestamp": at} for name, value, at in matches}
    return list(last.values())
