"""Hyperparameters of script mode: JSON in strings, split into the user's and the platform's."""

from __future__ import annotations

import json

PLATFORM = {
    "sagemaker_submit_directory",
    "sagemaker_program",
    "sagemaker_region",
    "sagemaker_job_name",
    "sagemaker_container_log_level",
    "sagemaker_s3_output",
    "sagemaker_enable_cloudwatch_metrics",
    "default_user_module_name",
    "_tuning_objective_metric",
}
"""Names that SageMaker uses itself; other `sagemaker_*` names are parameters of the framework."""


def decode(raw: dict[str, str]) -> tuple[dict, list[str]]:
    """Decode each value from JSON; a value that is not JSON stays as it is. Answers the values and the names that stayed."""
    values, kept = {}, []
    for name, text in raw.items():
        try:
            values[name] = json.loads(text)
        except (ValueError, TypeError):
            values[name] = text
            kept.append(name)
    return values, kept


def split(values: dict) -> tuple[dict, dict, dict]:
    """(the user's, the platform's, the framework's) hyperparameters."""
    user = {k: v for k, v in values.items() if k not in PLATFORM and not k.startswith("sagemaker_")}
    platform = {k: v for k, v in values.items() if k in PLATFORM}
    framework = {k: v for k, v in values.items() if k.startswith("sagemaker_") and k not in PLATFORM}
    return user, platform, framework


def command_line(values: dict) -> list[str]:
    """`{"epochs": 3, "x": "a"}` as `["--epochs", "3", "-x", "a"]`: sorted by name, mappings as `k=v,k=v`."""
    arguments = []
    for name in sorted(values):
        arguments += [("--" if len(name) > 1 else "-") + name, _argument(values[name])]
    return arguments


def _argument(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{k}={v}" for k, v in sorted(value.items()))
    return "" if value is None else str(value)
