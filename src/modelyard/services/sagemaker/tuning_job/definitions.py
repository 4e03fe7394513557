"""Training definitions of a tuning job: as Describe answers them, and as the request of one trial's training job."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.training_job.metrics import built_in_definitions

OBJECTIVE_PARAMETER = "_tuning_objective_metric"
RESOURCES = ("InstanceType", "InstanceCount", "VolumeSizeInGB", "VolumeKmsKeyId")
SWITCHES = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining")
KINDS = ("IntegerParameterRanges", "ContinuousParameterRanges", "CategoricalParameterRanges")
# Members of a definition that are those of a training job.
SHARED = ("RoleArn", "InputDataConfig", "VpcConfig", "OutputDataConfig", "StoppingCondition", "RetryStrategy", "Environment")


def given(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The definitions of a create request or a spec, one or several."""
    return [request["TrainingJobDefinition"]] if "TrainingJobDefinition" in request else list(request.get("TrainingJobDefinitions", []))


def completed(definition: Mapping[str, Any], objective: Mapping[str, Any]) -> dict[str, Any]:
    """A definition as AWS keeps it: the objective among the static hyperparameters (built-in algorithms compute it for that),
    the metrics of a built-in algorithm, both forms of the resources. SDKs read all of these back."""
    static = {OBJECTIVE_PARAMETER: objective["MetricName"], **definition.get("StaticHyperParameters", {})}
    algorithm = {**definition["AlgorithmSpecification"]}
    algorithm["MetricDefinitions"] = metric_definitions(definition)
    resources = definition.get("HyperParameterTuningResourceConfig") or definition.get("ResourceConfig", {})
    first = {**resources, **(resources.get("InstanceConfigs") or [{}])[0]}
    plain = {member: first[member] for member in RESOURCES if member in first}
    full = {**definition, "StaticHyperParameters": static, "AlgorithmSpecification": algorithm}
    full.update({switch: definition.get(switch, False) for switch in SWITCHES})
    full["ResourceConfig"] = definition.get("ResourceConfig") or plain
    full["OutputDataConfig"] = {"KmsKeyId": "", **definition["OutputDataConfig"]}
    if "HyperParameterRanges" in full:
        full["HyperParameterRanges"] = all_kinds(full["HyperParameterRanges"])
    return full


def metric_definitions(definition: Mapping[str, Any]) -> list[dict[str, str]]:
    """Those that were given; of a built-in algorithm its own as well."""
    algorithm = definition["AlgorithmSpecification"]
    own = list(algorithm.get("MetricDefinitions", []))
    known = built_in_definitions(algorithm.get("TrainingImage", ""), definition.get("StaticHyperParameters", {}))
    names = {metric["Name"] for metric in own}
    return own + [metric for metric in known if metric["Name"] not in names]


def all_kinds(ranges: Mapping[str, Any]) -> dict[str, Any]:
    """Ranges with every list there, as clients read them."""
    return {**{kind: [] for kind in KINDS}, **ranges}


def objective_of(config: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Any]:
    """The objective of one definition: its own where there are several, else the job's."""
    return definition.get("TuningObjective") or config["HyperParameterTuningJobObjective"]


def ranges_of(config: Mapping[str, Any], definition: Mapping[str, Any]) -> dict[str, Any]:
    return definition.get("HyperParameterRanges") or config.get("ParameterRanges", {})


# --- one trial -------------------------------------------------------------------------------------


def trial_uid(job: Record, number: int) -> str:
    """The uid of a trial's training job: the same whoever makes it, so that it is made once."""
    return hashlib.sha256(f"{job.uid}:{number}".encode()).hexdigest()[:24]


def trial_name(job: Record, number: int, again: int = 0) -> str:
    """`<tuning job>-001-1a2b3c4d`, as AWS names them; `again` counts names that somebody else has."""
    mark = hashlib.sha256(f"{job.uid}:{number}:{again}:name".encode()).hexdigest()[:8]
    return f"{job.name}-{number:03d}-{mark}"


def training_request(definition: Mapping[str, Any], name: str, values: Mapping[str, str]) -> dict[str, Any]:
    """CreateTrainingJob's request for a completed definition with these values. Each trial has checkpoints of its own: one that
    went on with another's model would not be a trial of its own values."""
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "HyperParameters": {**definition["StaticHyperParameters"], **values},
        "AlgorithmSpecification": dict(definition["AlgorithmSpecification"]),
        "ResourceConfig": definition["ResourceConfig"],
    }
    request.update({member: definition[member] for member in SHARED if member in definition})
    request.update({switch: definition[switch] for switch in SWITCHES if definition.get(switch)})
    if "CheckpointConfig" in definition:
        config = definition["CheckpointConfig"]
        request["CheckpointConfig"] = {**config, "S3Uri": f"{config['S3Uri'].rstrip('/')}/{name}"}
    return request
