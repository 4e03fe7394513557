"""How a model package is shown: Describe, summaries, and the event "SageMaker Model Package State Change" (pure)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from modelyard.kernel.records import Record

ECHOED = (
    "ModelPackageDescription", "ModelPackageRegistrationType", "InferenceSpecification", "SourceAlgorithmSpecification", "ValidationSpecification",
    "ModelApprovalStatus", "CreatedBy", "MetadataProperties", "ModelMetrics", "LastModifiedBy", "ApprovalDescription", "Domain", "Task",
    "SamplePayloadUrl", "CustomerMetadataProperties", "DriftCheckBaselines", "AdditionalInferenceSpecifications", "SkipModelValidation",
    "SourceUri", "SecurityConfig", "ModelCard", "ModelLifeCycle", "ManagedStorageType",
)  # fmt: skip
IN_EVENT = (
    "ModelPackageName", "ModelPackageGroupName", "ModelPackageVersion", "ModelPackageArn", "ModelPackageDescription", "CreationTime",
    "InferenceSpecification", "ModelPackageStatus", "ModelPackageStatusDetails", "CertifyForMarketplace", "ModelApprovalStatus",
    "MetadataProperties", "ModelMetrics", "LastModifiedTime", "ApprovalDescription", "Domain", "Task", "SamplePayloadUrl",
    "CustomerMetadataProperties", "DriftCheckBaselines", "AdditionalInferenceSpecifications", "SkipModelValidation", "SourceUri", "ModelLifeCycle",
)  # fmt: skip


def named(package: Record) -> dict[str, Any]:
    """Versions have a group and a number, others a name."""
    if "group" in package.spec:
        return {"ModelPackageGroupName": package.spec["group"], "ModelPackageVersion": package.spec["version"]}
    return {"ModelPackageName": package.name}


def describe(package: Record) -> dict[str, Any]:
    said = named(package) | {
        "ModelPackageArn": package.arn,
        "CreationTime": package.created_at,
        "LastModifiedTime": package.updated_at,
        "ModelPackageStatus": package.status,
        "ModelPackageStatusDetails": {"ValidationStatuses": package.state.get("validations", []), "ImageScanStatuses": []},
        "CertifyForMarketplace": package.spec.get("CertifyForMarketplace", False),
    }
    return said | {member: package.spec[member] for member in ECHOED if member in package.spec}


def summary(package: Record) -> dict[str, Any]:
    said = named(package) | {
        "ModelPackageArn": package.arn,
        "CreationTime": package.created_at,
        "ModelPackageStatus": package.status,
    }
    more = ("ModelPackageDescription", "ModelApprovalStatus", "ModelLifeCycle", "ModelPackageRegistrationType")
    return said | {member: package.spec[member] for member in more if member in package.spec}


def batch_summary(package: Record) -> dict[str, Any]:
    """BatchDescribe's: the summary with what a consumer needs to deploy."""
    said = {member: value for member, value in summary(package).items() if member != "ModelLifeCycle"}
    return said | {"InferenceSpecification": package.spec.get("InferenceSpecification", {})}


def state_change(package: Record, created_at: float | None = None) -> dict[str, Any]:
    """The event, without the envelope's id, time and account."""
    said = describe(package) | {"CreationTime": _iso(created_at or package.created_at), "LastModifiedTime": _iso(package.updated_at)}
    return {
        "source": "aws.sagemaker",
        "detail-type": "SageMaker Model Package State Change",
        "resources": [package.arn],
        "detail": {member: said[member] for member in IN_EVENT if member in said},
    }


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
