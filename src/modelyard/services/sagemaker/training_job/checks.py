"""What a CreateTrainingJob request must be, beyond what the model can say."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.training_job.metrics import bad_pattern
from modelyard.services.sagemaker.training_job.synced import bad_local_path

DEFAULT_MAX_RUNTIME_SECONDS = 86_400
MOST_RUNTIME_SECONDS = 28 * 86_400


def check(request: dict[str, Any]) -> None:
    """Raises ValidationException."""
    algorithm, resources = request.get("AlgorithmSpecification"), request.get("ResourceConfig")
    if not algorithm:
        raise validation("AlgorithmSpecification is required.")
    if not resources or (not resources.get("InstanceType") and not resources.get("InstanceGroups")):
        raise validation("ResourceConfig must name InstanceType and InstanceCount, or InstanceGroups.")
    if ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
        raise validation("You must specify either TrainingImage or AlgorithmName, and not both, in AlgorithmSpecification.")
    if "AlgorithmName" in algorithm:
        raise validation("Algorithm resources and Marketplace algorithms (AlgorithmName) are not built yet; give a TrainingImage.")
    _check_hosts(request, resources)
    if bad := bad_pattern(algorithm.get("MetricDefinitions", [])):
        raise validation(f"Invalid regular expression in a metric definition: {bad}")
    _check_limits(request, resources)
    parse_s3_uri(request["OutputDataConfig"]["S3OutputPath"], "outputDataConfig.s3OutputPath")
    _check_folders(request)
    names = [channel["ChannelName"] for channel in request.get("InputDataConfig", [])]
    if bad := [name for name in names if name in (".", "..")]:
        raise validation(f"A channel's name is the name of its folder: it cannot be '{bad[0]}'.")
    if len(set(names)) != len(names):
        raise validation("Channel names must be unique: " + ", ".join(sorted({n for n in names if names.count(n) > 1})))


def _check_folders(request: dict[str, Any]) -> None:
    for member, place in (("CheckpointConfig", "S3Uri"), ("TensorBoardOutputConfig", "S3OutputPath"), ("DebugHookConfig", "S3OutputPath")):
        config = request.get(member)
        if not config:
            continue
        parse_s3_uri(config[place], f"{member[0].lower()}{member[1:]}.{place[0].lower()}{place[1:]}")
        if (local := config.get("LocalPath")) and (why := bad_local_path(local)):
            raise validation(f"{member}: LocalPath '{local}' cannot be used: {why}.")


def _check_hosts(request: dict[str, Any], resources: dict[str, Any]) -> None:
    """One type and a count, or groups of instances; a channel's groups are among them."""
    groups = resources.get("InstanceGroups")
    if groups and (resources.get("InstanceType") or resources.get("InstanceCount")):
        raise validation("You cannot specify InstanceGroups together with InstanceType or InstanceCount in ResourceConfig.")
    if any(group.get("InstanceCount", 1) < 1 for group in groups or [resources]):
        raise validation("ResourceConfig: InstanceCount must be at least 1.")
    names = [group["InstanceGroupName"] for group in groups or []]
    if len(set(names)) != len(names):
        raise validation("The names of InstanceGroups must be unique: " + ", ".join(sorted({n for n in names if names.count(n) > 1})))
    for channel in request.get("InputDataConfig", []):
        for name in channel["DataSource"].get("S3DataSource", {}).get("InstanceGroupNames", []):
            if name not in names:
                raise validation(
                    f"The channel '{channel['ChannelName']}' names the instance group '{name}', which ResourceConfig does not have."
                )


def _check_limits(request: dict[str, Any], resources: dict[str, Any]) -> None:
    """Times within AWS's bounds; spot instances alone have a time to wait, and they have no warm pool."""
    stop = request.get("StoppingCondition", {})
    runtime, wait = stop.get("MaxRuntimeInSeconds", DEFAULT_MAX_RUNTIME_SECONDS), stop.get("MaxWaitTimeInSeconds")
    if runtime > MOST_RUNTIME_SECONDS:
        raise validation(f"Invalid MaxRuntimeInSeconds. It must be less than or equal to {MOST_RUNTIME_SECONDS} (28 days).")
    if request.get("EnableManagedSpotTraining"):
        if wait is None or wait < runtime:
            raise validation("Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds")
    elif wait is not None:
        raise validation("Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true")
    if resources.get("KeepAlivePeriodInSeconds"):
        for member, there in (
            ("EnableManagedSpotTraining", request.get("EnableManagedSpotTraining")),
            ("InstanceGroups", resources.get("InstanceGroups")),
        ):
            if there:
                raise validation(
                    f"KeepAlivePeriodInSeconds cannot be used together with {member}: there is no warm pool of such instances."
                )
