"""Results that are used again: a step with the same arguments, of the same pipeline, not too long ago (platform time)."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import orjson

from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker.pipeline.definition import BadDefinition, Step
from modelyard.services.sagemaker.pipeline.lifecycle import RESULT

KEYS: dict[str, tuple[str, ...] | None] = {
    "Training": (
        "AlgorithmSpecification", "CheckpointConfig", "DebugHookConfig", "DebugRuleConfigurations", "Environment", "HyperParameters",
        "InputDataConfig",
    ),
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Tuning": ("HyperParameterTuningJobConfig", "TrainingJobDefinition", "TrainingJobDefinitions"),
    "Transform": ("DataProcessing", "Environment", "ModelName", "TransformInput", "BatchStrategy", "ModelClientConfig"),
    "Callback": None,
}  # fmt: skip
"""Types of steps with a cache, and the arguments that make a run another one (None: all), as AWS's "Default cache key attributes" has them: where
results go, as which role and on which instances does not count."""
IN_DEFINITION = ("AlgorithmSpecification", "HyperParameterRanges", "InputDataConfig", "StaticHyperParameters", "TuningObjective")
"""Of the training job definitions of a tuning step."""
_DURATION = re.compile(
    r"P?(?:(\d+(?:\.\d+)?)Y)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)W)?(?:(\d+(?:\.\d+)?)D)?"
    r"(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)
SECONDS = (365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1)


def check(step: Step) -> None:
    config = step.raw.get("CacheConfig")
    if config is None:
        return
    if not isinstance(config, dict):
        raise BadDefinition("Expecting start of Json Object.")
    for member in config:
        if member not in ("Enabled", "ExpireAfter"):
            raise BadDefinition(f"Cannot parse object, unknown property '{member}'.")
    if not isinstance(config.get("Enabled", False), bool):
        raise BadDefinition(f"CacheConfig.Enabled of step '{step.name}' is true or false.")
    if config.get("ExpireAfter") is not None and seconds_of(config["ExpireAfter"]) is None:
        raise BadDefinition(
            f"ExpireAfter '{config['ExpireAfter']}' of step '{step.name}' is no ISO 8601 duration, as P30D, PT12H or P1DT2H."
        )


def is_cached(step: Step) -> bool:
    return step.type in KEYS and bool((step.raw.get("CacheConfig") or {}).get("Enabled"))


def seconds_of(text: Any) -> float | None:
    """An ISO 8601 duration in seconds; the P may be missing, as in AWS's own examples (`30d`, `30dT5h`). None: it is none."""
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None or not any(found.groups()) or text.upper().endswith("T"):
        return None
    return sum(float(number or 0) * unit for number, unit in zip(found.groups(), SECONDS, strict=True))


def digest(step: Step, arguments: dict[str, Any]) -> str:
    """What makes two runs of a step the same."""
    keys = KEYS[step.type]
    kept = arguments if keys is None else {key: arguments[key] for key in keys if key in arguments}
    if step.type == "Tuning":
        kept = {key: _definitions(value) if key.startswith("TrainingJobDefinition") else value for key, value in kept.items()}
    text = orjson.dumps([step.type, step.raw.get("SqsQueueUrl"), kept], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:32]


def _definitions(value: Any) -> Any:
    if isinstance(value, list):
        return [_definitions(one) for one in value]
    return {key: value[key] for key in IN_DEFINITION if key in value}


def known(store: Any, pipeline_uid: str, step: Step, key: str, now: float) -> dict[str, Any] | None:
    """{"execution", "arn", "metadata"} of an earlier run; None where there is none, or it is too old."""
    found = store.by_uid(_uid(pipeline_uid, step.name, key))
    if found is None:
        return None
    limit = seconds_of(step.raw["CacheConfig"].get("ExpireAfter"))
    if limit is not None and now > found.spec["at"] + limit:
        return None
    if found.spec.get("arn") and store.by_arn(found.spec["arn"]) is None:
        return None  # the job was deleted: there is nothing to refer to
    return found.spec


def remember(store: Any, execution: Record, step: Step, key: str, result: dict[str, Any]) -> None:
    """The newest run counts; said again it changes nothing."""
    uid = _uid(execution.owner or "", step.name, key)
    while True:
        there = store.by_uid(uid)
        try:
            if there is None:
                where = {"account": execution.account, "region": execution.region}
                store.create(RESULT, **where, name=uid, arn=f"pipeline-result/{uid}", spec=result, owner=execution.owner, uid=uid)
            elif there.spec != result:
                store.request(there, result, due=False)
            return
        except (Taken, Moved):
            continue


def _uid(pipeline_uid: str, step: str, key: str) -> str:
    return hashlib.sha256(f"{pipeline_uid}\0{step}\0{key}".encode()).hexdigest()[:24]
