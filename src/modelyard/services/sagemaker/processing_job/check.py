"""What CreateProcessingJob refuses beside the model, and the defaults it fills in: pure, on the request alone."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.instances import instance

DEFAULT_MAX_RUNTIME_SECONDS = 86_400
ROOT = "/opt/ml/processing"
_ECR = re.compile(r"\d{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/.+|public\.ecr\.aws/.+")


def completed(request: Mapping[str, Any], known_image: bool) -> dict[str, Any]:
    """The request with its defaults, as Describe and processingjobconfig.json tell it. Raises ValidationException.

    `known_image`: the image is one of this platform, however its URI is written.
    """
    image = request["AppSpecification"]["ImageUri"]
    if not known_image and not _ECR.fullmatch(image):
        raise validation(
            f"Invalid image URI {image}. Please provide a valid Amazon Elastic Container Registry path of the Docker image to run."
        )
    full = {member: value for member, value in request.items() if member != "Tags"}
    full["ProcessingInputs"] = [_input(given) for given in request.get("ProcessingInputs", [])]
    outputs = request.get("ProcessingOutputConfig", {})
    full["ProcessingOutputConfig"] = {**outputs, "Outputs": [_output(given) for given in outputs.get("Outputs", [])]}
    full["ProcessingResources"] = {"ClusterConfig": _cluster(request["ProcessingResources"]["ClusterConfig"])}
    full["StoppingCondition"] = request.get("StoppingCondition") or {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME_SECONDS}
    _unique("ProcessingInputs", "InputName", (given["InputName"] for given in full["ProcessingInputs"]))
    _unique("ProcessingOutputConfig.Outputs", "OutputName", (given["OutputName"] for given in full["ProcessingOutputConfig"]["Outputs"]))
    # Two inputs in one folder: AWS refuses that too, with an empty message.
    _unique("ProcessingInputs", "LocalPath", (below(s3["LocalPath"]) for s3 in managed_inputs(full)), shown=ROOT.rpartition("/")[0] + "/")
    return full


def managed_inputs(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The S3Input of each input that the platform downloads."""
    return [given["S3Input"] for given in job["ProcessingInputs"] if not given["AppManaged"]]


def managed_outputs(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The S3Output of each output that the platform uploads."""
    return [given["S3Output"] for given in job["ProcessingOutputConfig"]["Outputs"] if not given["AppManaged"]]


def below(local_path: str) -> str:
    """`/opt/ml/processing/input/` → `processing/input`: where it is in the host's /opt/ml."""
    return posixpath.normpath(local_path).removeprefix("/opt/ml/")


def _input(given: Mapping[str, Any]) -> dict[str, Any]:
    name = given["InputName"]
    if ("S3Input" in given) == ("DatasetDefinition" in given):
        raise validation(f"You must specify exactly one of S3Input and DatasetDefinition for the processing input '{name}'.")
    if "DatasetDefinition" in given:
        engine = "Amazon Redshift" if "RedshiftDatasetDefinition" in given["DatasetDefinition"] else "Amazon Athena"
        raise validation(
            f"The DatasetDefinition of the processing input '{name}' cannot be run: this platform has no {engine}. Unload the result of "
            "the query to Amazon S3 and give an S3Input."
        )
    s3 = {"S3InputMode": "File", "S3DataDistributionType": "FullyReplicated", "S3CompressionType": "None", **given["S3Input"]}
    managed = given.get("AppManaged", False)
    parse_s3_uri(s3["S3Uri"], "processingInputs.s3Input.s3Uri")
    if not managed:
        _check_local_path(s3.get("LocalPath"), f"processing input '{name}'")
    if s3["S3CompressionType"] == "Gzip" and s3["S3InputMode"] != "Pipe":
        raise validation(f"S3CompressionType Gzip can only be used when S3InputMode is Pipe (processing input '{name}').")
    return {**given, "S3Input": s3, "AppManaged": managed}


def _output(given: Mapping[str, Any]) -> dict[str, Any]:
    name, managed = given["OutputName"], given.get("AppManaged", False)
    if ("S3Output" in given) == ("FeatureStoreOutput" in given):
        raise validation(f"You must specify exactly one of S3Output and FeatureStoreOutput for the processing output '{name}'.")
    if "FeatureStoreOutput" in given:
        if not managed:
            raise validation(f"FeatureStoreOutput is only supported when AppManaged is true (processing output '{name}').")
        raise validation(f"Feature Store is not built yet: the processing output '{name}' cannot be a FeatureStoreOutput.")
    parse_s3_uri(given["S3Output"]["S3Uri"], "processingOutputConfig.outputs.s3Output.s3Uri")
    if not managed:
        _check_local_path(given["S3Output"].get("LocalPath"), f"processing output '{name}'")
    return {**given, "AppManaged": managed}


def _check_local_path(path: str | None, whose: str) -> None:
    if path is None:
        raise validation(f"LocalPath is required when AppManaged is false ({whose}).")
    plain = posixpath.normpath(path)
    if "\0" in path or ".." in path.split("/") or not (plain == ROOT or plain.startswith(ROOT + "/")):
        raise validation(f"Invalid LocalPath '{path}' of the {whose}. It must be an absolute path that begins with {ROOT}/.")


def _cluster(given: Mapping[str, Any]) -> dict[str, Any]:
    """ClusterConfig with its instance type and count; of a list of preferences the first type that this machine can give."""
    preferences = given.get("InstancePreferences")
    if not preferences:
        if "InstanceType" not in given:
            raise validation("You must specify InstanceType or InstancePreferences in ProcessingResources.ClusterConfig.")
        return {"InstanceCount": 1, **given}
    if "InstanceType" in given:
        raise validation("You must specify only one of InstanceType and InstancePreferences in ProcessingResources.ClusterConfig.")
    _unique("InstancePreferences", "InstanceType", (one["InstanceType"] for one in preferences))
    counts = [one["InstanceCount"] for one in preferences if "InstanceCount" in one]
    if len(counts) not in (0, len(preferences)) or bool(counts) == ("InstanceCount" in given):
        raise validation("Give InstanceCount either on every item of InstancePreferences or once in ClusterConfig, and not in both places.")
    chosen = next((one for one in preferences if not instance(one["InstanceType"]).gpus), preferences[0])
    count = chosen.get("InstanceCount") or given["InstanceCount"]
    asked = {member: value for member, value in given.items() if not member.startswith("Selected")}
    return {**asked, "SelectedInstanceType": chosen["InstanceType"], "SelectedInstanceCount": count}


def _unique(where: str, what: str, values: Iterable[str], shown: str = "") -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise validation(f"The {what} of all {where} must be unique: '{shown}{value}' is given twice.")
        seen.add(value)
