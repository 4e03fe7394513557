"""What DescribeInferenceExperiment and ListInferenceExperiments tell."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.endpoint.lifecycle import SETTLED
from modelyard.services.sagemaker.endpoint.lifecycle import status_of as endpoint_status
from modelyard.services.sagemaker.inference_experiment import plan
from modelyard.services.sagemaker.inference_experiment.lifecycle import FINAL, status_of
from modelyard.services.sagemaker.inference_experiment.reconcile import view


def summary(experiment: Record) -> dict[str, Any]:
    spec, state = experiment.spec, experiment.state
    answer = {
        "Name": experiment.name,
        "Type": "ShadowMode",
        "Schedule": {"StartTime": state.get("started_at", spec["start_at"]), "EndTime": state.get("completed_at", spec["end_at"])},
        "Status": status_of(experiment),
        "CreationTime": experiment.created_at,
        "LastModifiedTime": experiment.updated_at,
        "RoleArn": spec["role"],
    }
    for member, value in (
        ("StatusReason", state.get("reason")),
        ("Description", spec.get("description")),
        ("CompletionTime", state.get("completed_at")),
    ):
        if value:
            answer[member] = value
    return answer


def describe(experiment: Record, endpoint: Record | None) -> dict[str, Any]:
    spec = experiment.spec
    answer = {
        **summary(experiment),
        "Arn": experiment.arn,
        "EndpointMetadata": _endpoint(spec["endpoint"], endpoint),
        "ModelVariants": [{**v, "Status": _variant(experiment, endpoint, v["VariantName"])} for v in spec["variants"]],
        "ShadowModeConfig": {
            "SourceModelVariantName": spec["shadow"]["of"],
            "ShadowModelVariants": [{"ShadowModelVariantName": spec["shadow"]["name"], "SamplingPercentage": spec["shadow"]["percent"]}],
        },
    }
    if spec.get("storage"):
        answer["DataStorageConfig"] = spec["storage"]
    if spec.get("kms"):
        answer["KmsKey"] = spec["kms"]
    return answer


def _endpoint(name: str, endpoint: Record | None) -> dict[str, Any]:
    if endpoint is None:
        return {"EndpointName": name}
    there = view(endpoint)
    answer = {"EndpointName": name, "EndpointConfigName": there.serving or there.wanted, "EndpointStatus": there.status}
    if there.failure and endpoint_status(endpoint) in (*SETTLED, "Failed"):
        answer["FailureReason"] = there.failure[:1024]
    return answer


def _variant(experiment: Record, endpoint: Record | None, name: str) -> str:
    """A ModelVariantStatus: what the endpoint has of the variant, and what is on its way."""
    status, there = status_of(experiment), view(endpoint)
    served = there is not None and name in there.weights
    if not served:
        return "Deleted" if status in (*FINAL, "Stopping") else "Creating"
    if status == "Stopping":
        return "Updating" if plan.remains(experiment, name) else "Deleting"
    return "Updating" if status in ("Updating", "Starting") else "InService"
