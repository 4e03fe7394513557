"""Autotune: the ranges, limits and switches of a tuning job that names few of them.

Ranges of the built-in XGBoost are those that AWS recommends for tuning it (docs.aws.amazon.com/sagemaker/latest/dg/xgboost-tuning.html);
a hint of a value is searched around, on a logarithmic scale.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.services.sagemaker.training_job.metrics import built_in_definitions
from modelyard.services.sagemaker.tuning_job.definitions import KINDS, all_kinds, ranges_of

JOBS = 50
AROUND, INTEGERS_AROUND = 10.0, 4
RETRIES = 3
_XGBOOST = {
    "IntegerParameterRanges": [("max_depth", "1", "10", "Linear"), ("num_round", "10", "400", "Logarithmic")],
    "ContinuousParameterRanges": [
        ("alpha", "0", "1000", "Linear"),
        ("colsample_bytree", "0.5", "1", "Linear"),
        ("eta", "0.1", "0.5", "Linear"),
        ("gamma", "0", "5", "Linear"),
        ("lambda", "0", "1000", "Linear"),
        ("min_child_weight", "0", "120", "Linear"),
        ("subsample", "0.5", "1", "Linear"),
    ],
}


def filled(request: Mapping[str, Any], definitions: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(configuration, definitions) with what Autotune decides; without Autotune they are those of the request."""
    config = dict(request["HyperParameterTuningJobConfig"])
    hinted = [ranges_of(config, definition).get("AutoParameters") for definition in definitions]
    if request.get("Autotune", {}).get("Mode") != "Enabled":
        if any(hinted):
            raise validation("AutoParameters can be used only with Autotune. Set the Mode of Autotune to Enabled.")
        return config, list(definitions)
    several = "TrainingJobDefinitions" in request
    done = []
    for definition in definitions:
        ranges = ranges_filled(ranges_of(config, definition), definition)
        done.append(
            {"RetryStrategy": {"MaximumRetryAttempts": RETRIES}, **definition} | ({"HyperParameterRanges": ranges} if several else {})
        )
        if not several:
            config["ParameterRanges"] = ranges
    config["ResourceLimits"] = {"MaxNumberOfTrainingJobs": JOBS, **config["ResourceLimits"]}
    if config["Strategy"] != "Hyperband":
        config.setdefault("TrainingJobEarlyStoppingType", "Auto")
    config.setdefault("TuningJobCompletionCriteria", {"ConvergenceDetected": {"CompleteOnConvergence": "Enabled"}})
    return config, done


def ranges_filled(ranges: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Any]:
    """The ranges given, one more for each hint, and those of a built-in algorithm where nothing was given."""
    full = {member: list(value) for member, value in all_kinds(ranges).items()}
    for hint in full.get("AutoParameters", []):
        kind, found = around(hint["Name"], hint["ValueHint"])
        full[kind].append(found)
    if not any(full[kind] for kind in KINDS):
        static = definition.get("StaticHyperParameters", {})
        image = definition["AlgorithmSpecification"].get("TrainingImage", "")
        if "xgboost" not in image.rpartition("/")[2] or not built_in_definitions(image, static):
            raise validation("Autotune has no ranges for this algorithm. Provide ParameterRanges, or AutoParameters with a ValueHint each.")
        for kind, rows in _XGBOOST.items():
            full[kind] = [
                {"Name": name, "MinValue": low, "MaxValue": high, "ScalingType": scale}
                for name, low, high, scale in rows
                if name not in static
            ]
    return full


def around(name: str, hint: str) -> tuple[str, dict[str, Any]]:
    """(kind of range, range) around an example value."""
    try:
        number = float(hint)
    except ValueError:
        values = ["true", "false"] if hint.lower() in ("true", "false") else [hint]
        return "CategoricalParameterRanges", {"Name": name, "Values": values}
    whole = hint.strip().lstrip("+-").isdecimal()
    if number <= 0:
        low, high, scale = 2 * number - 1, 1.0, "Linear"
    elif whole:
        low, high, scale = max(1, int(number) // INTEGERS_AROUND), int(number) * INTEGERS_AROUND, "Logarithmic"
    else:
        low, high, scale = number / AROUND, number * AROUND, "Logarithmic"
        high = min(high, 1.0) if number <= 1 else high
    texts = (str(int(low)), str(int(high))) if whole else (repr(float(low)), repr(float(high)))
    kind = "IntegerParameterRanges" if whole else "ContinuousParameterRanges"
    return kind, {"Name": name, "MinValue": texts[0], "MaxValue": texts[1], "ScalingType": scale}
