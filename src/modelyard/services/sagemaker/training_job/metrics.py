"""Metrics of a training job: definitions (regex with one group) applied to each log line."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

import regex

from modelyard.kernel.plaintext import said_always
from modelyard.services.sagemaker.published_images import repository
from modelyard.services.sagemaker.training_job.metric_tables import BY_REPOSITORY

NAMESPACE = "/aws/sagemaker/TrainingJobs"
PATTERN_SECONDS = 0.1
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
    name = repository(image)
    if name in BY_REPOSITORY:
        return [{"Name": metric, "Regex": expression} for metric, expression in BY_REPOSITORY[name].items()]
    if name not in ("sagemaker-xgboost", "xgboost") or "sagemaker_program" in hyperparameters:
        return []
    return [
        {"Name": f"{channel}:{metric}", "Regex": rf".*\[[0-9]+\].*#011{channel}-{metric}:([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?).*"}
        for channel in ("train", "validation")
        for metric in _XGBOOST
    ]


class Finder:
    """Metric definitions, compiled once. One that took too long on a line is not tried again: patterns come from users, and
    some backtrack for hours."""

    def __init__(self, definitions: Iterable[dict[str, str]]) -> None:
        self._patterns = {}
        for definition in definitions:
            with contextlib.suppress(regex.error):
                self._patterns[definition["Name"]] = (said_always(definition["Regex"]), regex.compile(definition["Regex"]))

    def find(self, at: float, text: str) -> Iterator[tuple[str, float, float]]:
        """(metric name, value, time) of every match in a line."""
        for name, (part, pattern) in list(self._patterns.items()):
            if part not in text:  # most lines say nothing of a metric: to know that needs no expression
                continue
            try:
                match = pattern.search(text, timeout=PATTERN_SECONDS)
            except TimeoutError:
                del self._patterns[name]
                continue
            if match and pattern.groups:
                try:
                    value = float(match[1])
                except (TypeError, ValueError):
                    continue
                if math.isfinite(value):
                    yield name, value, at


def found(definitions: Iterable[dict[str, str]], lines: Iterable[tuple[float, str]]) -> Iterator[tuple[str, float, float]]:
    """(metric name, value, time) of every match in (time, text) lines, in order."""
    finder = Finder(definitions)
    for at, text in lines:
        yield from finder.find(at, text)


def bad_pattern(definitions: Iterable[dict[str, str]]) -> str | None:
    """The first regular expression that is none."""
    for definition in definitions:
        try:
            regex.compile(definition["Regex"])
        except regex.error:
            return definition["Regex"]
    return None


def final_metrics(matches: Iterable[tuple[str, float, float]]) -> list[dict[str, Any]]:
    """The last value of each metric, as FinalMetricDataList has them."""
    last = {name: {"MetricName": name, "Value": value, "Timestamp": at} for name, value, at in matches}
    return list(last.values())
