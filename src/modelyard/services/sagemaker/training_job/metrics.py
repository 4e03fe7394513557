"""Metrics of a training job: definitions (regex with one group) applied to each log line."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

from modelyard.kernel.lazily import regex
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
                pattern = regex.compile(definition["Regex"])
                if pattern.groups:
                    self._patterns[definition["Name"]] = (said_always(definition["Regex"]), pattern)

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
            if match:
                try:
                    value = float(match[1])
                except (TypeError, ValueError):
                    continue
                if math.isfinite(value):
                    yield name, value, at

    def forget(self, name: str) -> None:
        self._patterns.pop(name, None)

    def knows_nothing(self) -> bool:
        return not self._patterns


def found(definitions: Iterable[dict[str, str]], lines: Iterable[tuple[float, str]]) -> Iterator[tuple[str, float, float]]:
    """(metric name, value, time) of every match in (time, text) lines, in order."""
    finder = Finder(definitions)
    for at, text in lines:
        yield from finder.find(at, text)


def last_metrics(definitions: Iterable[dict[str, str]], newest_lines: Iterable[tuple[float, str]]) -> list[dict[str, Any]]:
    """The last value of each metric, as FinalMetricDataList has them, of lines from the newest on: mostly a few are enough."""
    finder, last = Finder(definitions), {}
    for at, text in newest_lines:
        for name, value, when in finder.find(at, text):
            last[name] = {"MetricName": name, "Value": value, "Timestamp": when}
            finder.forget(name)
        if finder.knows_nothing():
            break
    return [last[name] for name in dict.fromkeys(definition["Name"] for definition in definitions) if name in last]


def bad_pattern(definitions: Iterable[dict[str, str]]) -> str | None:
    """The first regular expression that is none."""
    for definition in definitions:
        try:
            regex.compile(definition["Regex"])
        except regex.error:
            return definition["Regex"]
    return None
