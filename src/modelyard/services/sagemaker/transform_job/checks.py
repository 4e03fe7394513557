"""What is wrong with a CreateTransformJob request, beyond what the model of the operation says."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.jobs.quota import check_quota
from modelyard.services.sagemaker.model import mode_of
from modelyard.services.sagemaker.transform_job.lifecycle import LIFECYCLE
from modelyard.serving.transform.jsonpath import BadPath, JsonPath
from modelyard.serving.transform.processing import CSV, kind_of

MOST_PAYLOAD_MB = 100


def check(request: dict[str, Any]) -> None:
    source = request["TransformInput"]["DataSource"]["S3DataSource"]
    if source["S3DataType"] not in ("S3Prefix", "ManifestFile"):
        raise validation(f"S3DataType {source['S3DataType']} is not supported for transform jobs; use S3Prefix or ManifestFile.")
    parse_s3_uri(source["S3Uri"], "transformInput.dataSource.s3DataSource.s3Uri")
    parse_s3_uri(request["TransformOutput"]["S3OutputPath"], "transformOutput.s3OutputPath")
    if capture := request.get("DataCaptureConfig"):
        parse_s3_uri(capture["DestinationS3Uri"], "dataCaptureConfig.destinationS3Uri")
    _check_size(request)
    _check_processing(request)


def check_instances(call: Any, request: dict[str, Any]) -> None:
    """Raises ResourceLimitExceeded."""
    resources = request["TransformResources"]
    check_quota(call, LIFECYCLE.kind, "transform job usage", {resources["InstanceType"]: resources["InstanceCount"]})


def check_model(model: Record) -> None:
    """Batch transform knows one container or a serial pipeline."""
    mode = mode_of(model.spec)
    if mode not in ("", "Serial") or any(c.get("Mode") == "MultiModel" for c in model.spec.get("Containers", ())):
        what = "InferenceExecutionConfig Mode Direct" if mode == "Direct" else "containers in MultiModel mode"
        raise validation(f'Model "{model.name}" has {what}, which is not supported by batch transform jobs.')


def _check_size(request: dict[str, Any]) -> None:
    payload, at_once = request.get("MaxPayloadInMB"), request.get("MaxConcurrentTransforms")
    if payload is not None and payload > MOST_PAYLOAD_MB:
        raise validation(f"MaxPayloadInMB cannot be greater than {MOST_PAYLOAD_MB} MB; it is {payload}.")
    if payload and at_once and payload * at_once > MOST_PAYLOAD_MB:
        raise validation(
            f"The value of (MaxConcurrentTransforms * MaxPayloadInMB) cannot exceed {MOST_PAYLOAD_MB} MB; it is {at_once} * {payload}."
        )
    if payload == 0 and request["TransformInput"].get("SplitType", "None") != "None":
        raise validation("MaxPayloadInMB 0 streams whole objects to the model: SplitType must be None then.")
    if payload == 0 and _processes(request):
        raise validation("MaxPayloadInMB 0 streams whole objects to the model: DataProcessing and inference ids cannot be used then.")


def _check_processing(request: dict[str, Any]) -> None:
    processing = request.get("DataProcessing", {})
    paths = {}
    for member in ("InputFilter", "OutputFilter"):
        try:
            paths[member] = JsonPath(processing.get(member) or "$")
        except BadPath as problem:
            raise validation(f"Invalid {member}. {problem}") from None
    if not _processes(request):
        return
    kind = kind_of(request["TransformInput"].get("ContentType"))
    out = kind_of(request["TransformOutput"].get("Accept"))
    if kind is None and (processing.get("JoinSource") == "Input" or not paths["InputFilter"].is_all):
        raise validation(
            "DataProcessing is supported for input of ContentType text/csv, application/json and application/jsonlines only, which "
            "TransformInput must name."
        )
    if kind is None and out is None:
        raise validation("The output can be processed as CSV or JSON only: name its type in Accept, or that of the input in ContentType.")
    out = kind if processing.get("JoinSource") == "Input" else out or kind
    for member, of in (("InputFilter", kind), ("OutputFilter", out)):
        if of == CSV and not paths[member].fits_rows:
            raise validation(
                f"Invalid {member} '{processing[member]}': a CSV record is an array, whose columns are selected by index, as in $[0,2:]."
            )


def _processes(request: dict[str, Any]) -> bool:
    given = request.get("DataProcessing", {})
    asked = any(given.get(member, default) != default for member, default in (("InputFilter", "$"), ("OutputFilter", "$")))
    return asked or given.get("JoinSource") == "Input" or request.get("DataCaptureConfig", {}).get("GenerateInferenceId", False)
