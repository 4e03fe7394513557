"""What a job's record tells its trial component: parameters, artifacts, status, times, metrics (pure but for `series`).

The names are AWS's: hyperparameters as they are, `SageMaker.InstanceType` and so on beside them, inputs by channel or input name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.records import Record

MOST_PARAMETERS, MOST_ARTIFACTS, LONGEST_TEXT, LONGEST_MESSAGE = 300, 60, 2500, 1024
FINAL = ("Completed", "Failed", "Stopped")
Spec = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """`parts(job)` answers (parameters, input artifacts, output artifacts)."""

    source_type: str
    parts: Callable[[Record], tuple[Spec, Spec, Spec]]
    message: Callable[[Record], str]


def component_of(job: Record) -> Spec:
    """The spec of the component, for the job as it is now."""
    kind = KINDS[job.kind]
    parameters, inputs, outputs = kind.parts(job)
    config = job.spec.get("ExperimentConfig") or {}
    spec = {
        "DisplayName": config.get("TrialComponentDisplayName"),
        "Source": {"SourceArn": job.arn, "SourceType": kind.source_type},
        "Status": {"PrimaryStatus": job.status, "Message": kind.message(job)[:LONGEST_MESSAGE]},
        "StartTime": job.state.get("started_at"),
        "EndTime": job.state.get("ended_at", job.updated_at if job.status in FINAL else None),
        "Parameters": dict(list(parameters.items())[:MOST_PARAMETERS]),
        "InputArtifacts": dict(list(inputs.items())[:MOST_ARTIFACTS]),
        "OutputArtifacts": dict(list(outputs.items())[:MOST_ARTIFACTS]),
    }
    return {member: value for member, value in spec.items() if value is not None}


def series(platform: Any, job: Record) -> list[tuple[str, float, float]]:
    """(metric, time, value): what a training job has told so far, in order."""
    if job.kind != "training-job":
        return []
    dimensions = [{"Name": "TrainingJobName", "Value": job.name}]
    return platform.metrics.every_point(job.account, job.region, "/aws/sagemaker/TrainingJobs", dimensions)


def parameter(value: Any) -> dict[str, Any]:
    """A number where the text is one, as AWS shows hyperparameters."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return {"StringValue": str(value)[:LONGEST_TEXT]}
    finite = number == number and abs(number) != float("inf")
    return {"NumberValue": number} if finite else {"StringValue": str(value)}


def artifact(uri: str, media_type: str | None = None) -> dict[str, Any]:
    plain = media_type if media_type and media_type.count("/") == 1 and len(media_type) <= 64 and ";" not in media_type else None
    return {"Value": uri[:2048]} | ({"MediaType": plain} if plain else {})


def _resources(config: Spec) -> Spec:
    found = {
        "SageMaker.InstanceType": config.get("InstanceType", config.get("SelectedInstanceType")),
        "SageMaker.InstanceCount": config.get("InstanceCount", config.get("SelectedInstanceCount")),
        "SageMaker.VolumeSizeInGB": config.get("VolumeSizeInGB"),
    }
    return {name: {"StringValue": v} if isinstance(v, str) else {"NumberValue": float(v)} for name, v in found.items() if v is not None}


def _of_training(job: Record) -> tuple[Spec, Spec, Spec]:
    spec, image = job.spec, job.spec["AlgorithmSpecification"].get("TrainingImage")
    parameters = {name: parameter(value) for name, value in spec.get("HyperParameters", {}).items()}
    inputs = {"SageMaker.ImageUri": artifact(image)} if image else {}
    for channel in spec.get("InputDataConfig", []):
        if uri := data_uri(channel["DataSource"]):
            inputs[channel["ChannelName"]] = artifact(uri, channel.get("ContentType"))
    outputs = {}
    if hook := spec.get("DebugHookConfig"):
        outputs["SageMaker.DebugHookOutput"] = artifact(hook["S3OutputPath"])
    if job.state.get("model"):
        outputs["SageMaker.ModelArtifact"] = artifact(job.state["model"])
    return parameters | _resources(spec["ResourceConfig"]), inputs, outputs


def _of_processing(job: Record) -> tuple[Spec, Spec, Spec]:
    spec = job.spec
    app = spec.get("AppSpecification", {})
    parameters = {name: parameter(value) for name, value in spec.get("Environment", {}).items()}
    if app.get("ContainerEntrypoint"):
        parameters["SageMaker.ContainerEntrypoint"] = {"StringValue": str(app["ContainerEntrypoint"])[:LONGEST_TEXT]}
    if app.get("ContainerArguments"):
        parameters["SageMaker.ContainerArguments"] = {"StringValue": str(app["ContainerArguments"])[:LONGEST_TEXT]}
    inputs = {"SageMaker.ImageUri": artifact(app["ImageUri"])} if app.get("ImageUri") else {}
    for one in spec.get("ProcessingInputs", []):
        if uri := one.get("S3Input", {}).get("S3Uri"):
            inputs[one["InputName"]] = artifact(uri)
    outputs = {
        one["OutputName"]: artifact(one["S3Output"]["S3Uri"])
        for one in spec.get("ProcessingOutputConfig", {}).get("Outputs", [])
        if one.get("S3Output", {}).get("S3Uri")
    }
    return parameters | _resources(spec.get("ProcessingResources", {}).get("ClusterConfig", {})), inputs, outputs


def _of_transform(job: Record) -> tuple[Spec, Spec, Spec]:
    spec = job.spec
    parameters = {name: parameter(value) for name, value in spec.get("Environment", {}).items()}
    parameters["SageMaker.ModelName"] = {"StringValue": spec["ModelName"]}
    for member in ("BatchStrategy", "MaxPayloadInMB", "MaxConcurrentTransforms"):
        if spec.get(member) is not None:
            parameters[f"SageMaker.{member}"] = parameter(spec[member])
    given = spec.get("TransformInput", {})
    uri = data_uri(given.get("DataSource", {}))
    inputs = {"SageMaker.TransformInput": artifact(uri, given.get("ContentType"))} if uri else {}
    given = spec.get("TransformOutput", {})
    outputs = {"SageMaker.TransformOutput": artifact(given["S3OutputPath"], given.get("Accept"))} if given.get("S3OutputPath") else {}
    return parameters | _resources(spec.get("TransformResources", {})), inputs, outputs


def data_uri(source: Spec) -> str | None:
    return source.get("S3DataSource", {}).get("S3Uri") or source.get("FileSystemDataSource", {}).get("DirectoryPath")


def _training_message(job: Record) -> str:
    return f"Status: {job.status}, secondary status: {job.state.get('secondary', job.status)}, failure reason: {job.state.get('reason') or ''}."


def _processing_message(job: Record) -> str:
    said = job.state.get("message")
    return f"Status: {job.status}, exit message: {said or 'null'}, failure reason: {job.state.get('reason') or 'null'}"


def _transform_message(job: Record) -> str:
    return f"Status: {job.status}, failure reason: {job.state.get('reason') or 'null'}"


KINDS = {
    "training-job": Kind("SageMakerTrainingJob", _of_training, _training_message),
    "processing-job": Kind("SageMakerProcessingJob", _of_processing, _processing_message),
    "transform-job": Kind("SageMakerTransformJob", _of_transform, _transform_message),
}
