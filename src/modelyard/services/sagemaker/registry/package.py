"""Model packages: a version in a group, or one that stands alone. What they hold is in `specification.py`, how one is shown in `shown.py`."""

from __future__ import annotations

import hashlib
from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, changed, full_arn, list_page, tags_of, user_context
from modelyard.services.sagemaker.registry import specification
from modelyard.services.sagemaker.registry.group import LIFECYCLE as GROUP
from modelyard.services.sagemaker.registry.group import find_group, next_version, the_group
from modelyard.services.sagemaker.registry.shown import batch_summary, describe, state_change, summary
from modelyard.services.sagemaker.registry.validation import READY, VALIDATED, check_profiles, first_state, profiles_of

KIND = READY.kind
PENDING = "PendingManualApproval"
MOST_METADATA, MOST_SPECIFICATIONS = 50, 15
NOT_KEPT = ("Tags", "ClientToken", "ModelPackageName", "ModelPackageGroupName")


@api.operation
def create_model_package(call, request):
    group = _home(call, request)
    uid = _uid(call, request)
    if uid and (made := call.store.by_uid(uid)):
        return {"ModelPackageArn": made.arn}
    spec = _spec(call, request, group)
    tags = tags_of(request)
    if group is not None and tags:
        raise validation("Tags are not supported for model package versions: tag the model package group, whose tags its versions have.")
    account, region, kind = call.account, call.region, READY if not profiles_of(spec) else VALIDATED
    if group is None:
        name = request["ModelPackageName"]
        arn = arn_of(call, KIND, name)
        if call.store.by_arn(arn):
            raise _taken(arn)
    else:
        account, region = group.account, group.region
        version = next_version(call, group)
        name, spec = f"{group.name}/{version}", {**spec, "group": group.name, "version": version}
        arn = group.arn.replace(f":{GROUP.kind}/", f":{KIND}/") + f"/{version}"
    state = first_state(spec)
    detail = {"eventbridge": state_change(_draft(kind.first, account, region, name, arn, spec, state, call.now()))}
    try:
        call.store.create(
            kind, account=account, region=region, name=name, arn=arn, spec=spec, state=state, tags=tags, uid=uid,
            owner=group.uid if group else None, due_at=call.now() if kind is VALIDATED else None, detail=detail,
        )  # fmt: skip
    except Taken:
        raise _taken(arn) from None
    call.platform.ring(KIND)
    return {"ModelPackageArn": arn}


@api.operation
def describe_model_package(call, request):
    """MetadataOnly leaves out what may be large and under another key: the model card's content."""
    package = the_package(call, request["ModelPackageName"])
    if package.status in ("Pending", "InProgress"):
        call.hold(package)
    said = describe(package)
    if request.get("IncludedData") == "MetadataOnly" and "ModelCard" in said:
        said["ModelCard"] = {key: value for key, value in said["ModelCard"].items() if key != "ModelCardContent"}
    return said


@api.operation
def list_model_packages(call, request):
    kind = request.get("ModelPackageType", "Versioned" if request.get("ModelPackageGroupName") else "Unversioned")
    approval, whose, owner = request.get("ModelApprovalStatus"), None, None
    if request.get("ModelPackageGroupName"):
        group = find_group(call, request["ModelPackageGroupName"])
        if group is None:
            return {"ModelPackageSummaryList": []}
        if group.account != call.account:  # what data says of this operation names no resource, so a group's policy is asked here
            call.authorize("sagemaker:ListModelPackages", group.arn.replace(f":{GROUP.kind}/", f":{KIND}/") + "/*")
        whose, owner = (group.account, group.region), group.uid

    def keep(package: Record) -> bool:
        if kind != "Both" and ("group" in package.spec) != (kind == "Versioned"):
            return False
        return approval is None or package.spec.get("ModelApprovalStatus") == approval

    found, more = list_page(call, KIND, request, default_order="Ascending", keep=keep, whose=whose, owner=owner)
    return {"ModelPackageSummaryList": [summary(package) for package in found], **more}


@api.operation
def batch_describe_model_package(call, request):
    found, missing = {}, {}
    for arn in request["ModelPackageArnList"]:
        package = find_package(call, arn)
        if package is None or "group" not in package.spec:
            missing[arn] = {"ErrorCode": "ValidationException", "ErrorResponse": f"ModelPackage {arn} does not exist."}
        else:
            found[arn] = batch_summary(package)
    return {"ModelPackageSummaries": found, "BatchDescribeModelPackageErrorMap": missing}


@api.operation
def update_model_package(call, request):
    def change(package: Record) -> dict[str, Any]:
        return {**_update(call, package, request), "LastModifiedBy": user_context(call)}

    def detail(package: Record, patch: dict[str, Any]) -> dict[str, Any]:
        spec = {key: value for key, value in {**package.spec, **patch}.items() if value is not None}
        after = _draft(package.status, package.account, package.region, package.name, package.arn, spec, package.state, call.now())
        return {"eventbridge": state_change(after, package.created_at)}

    package = changed(call, lambda: the_package(call, request["ModelPackageArn"]), change, detail)
    return {"ModelPackageArn": package.arn}


@api.operation
def delete_model_package(call, request):
    while True:
        package = the_package(call, request["ModelPackageName"])
        if package.status in ("Pending", "InProgress"):
            raise api.error.ConflictException(f"ModelPackage {package.arn} cannot be deleted while its status is {package.status}.")
        try:
            call.store.delete(package)
            return {}
        except Moved:
            continue


def the_package(call: Any, name: str) -> Record:
    package = find_package(call, name)
    if package is None:
        raise validation(f"ModelPackage {full_arn(call, KIND, name)} does not exist.")
    return package


def find_package(call: Any, name: str) -> Record | None:
    package = call.store.by_arn(full_arn(call, KIND, name))
    return package if package is not None and package.kind == KIND else None


# --- what is kept --------------------------------------------------------------------------------


def _home(call: Any, request: dict[str, Any]) -> Record | None:
    """The group of a version; None for a package without versions."""
    name, group = request.get("ModelPackageName"), request.get("ModelPackageGroupName")
    if name and group:
        raise validation("Both ModelPackageName and ModelPackageGroupName are provided in the input. Cannot determine which one to use.")
    if not name and not group:
        raise validation("Missing ARN. Give a ModelPackageGroupName (for a new version) or a ModelPackageName.")
    return the_group(call, group) if group else None


def _spec(call: Any, request: dict[str, Any], group: Record | None) -> dict[str, Any]:
    specification.check(request, versioned=group is not None)
    spec = {key: value for key, value in request.items() if key not in NOT_KEPT}
    inference = specification.of_source(call, request) or request.get("InferenceSpecification")
    if inference:
        spec["InferenceSpecification"] = specification.completed(call, inference)
    if more := request.get("AdditionalInferenceSpecifications"):
        spec["AdditionalInferenceSpecifications"] = [specification.completed(call, one) for one in more]
    if request.get("ValidationSpecification"):
        call.platform.identity.check_pass_role(call, request["ValidationSpecification"]["ValidationRole"])
        check_profiles(call, spec)
    if group is not None:
        spec["ModelApprovalStatus"] = request.get("ModelApprovalStatus", PENDING)
        if request.get("CertifyForMarketplace"):
            raise validation("CertifyForMarketplace does not apply to versioned model packages.")
    else:
        spec.pop("ModelApprovalStatus", None)
    return {**spec, "CreatedBy": user_context(call)}


def _update(call: Any, package: Record, request: dict[str, Any]) -> dict[str, Any]:
    """The members of the spec that an update sets."""
    spec = package.spec
    if "group" not in spec and request.get("ModelApprovalStatus"):
        raise validation(f"ModelApprovalStatus does not apply to the unversioned model package {package.arn}.")
    specification.check_update(request)
    copied = ("ModelApprovalStatus", "ApprovalDescription", "SourceUri", "ModelCard", "ModelLifeCycle", "ModelPackageRegistrationType")
    patch = {member: request[member] for member in copied if member in request}
    metadata = {**spec.get("CustomerMetadataProperties", {}), **request.get("CustomerMetadataProperties", {})}
    metadata = {key: value for key, value in metadata.items() if key not in request.get("CustomerMetadataPropertiesToRemove", ())}
    if len(metadata) > MOST_METADATA:
        raise validation(f"A model package can have at most {MOST_METADATA} CustomerMetadataProperties; this would make {len(metadata)}.")
    if metadata != spec.get("CustomerMetadataProperties", {}):
        patch["CustomerMetadataProperties"] = metadata or None
    inference = specification.of_source(call, request) or request.get("InferenceSpecification")
    if inference:
        patch["InferenceSpecification"] = specification.completed(call, inference)
    if added := request.get("AdditionalInferenceSpecificationsToAdd"):
        every = [*spec.get("AdditionalInferenceSpecifications", []), *(specification.completed(call, one) for one in added)]
        specification.check_names(every)
        if len(every) > MOST_SPECIFICATIONS:
            raise validation(f"A model package can have at most {MOST_SPECIFICATIONS} AdditionalInferenceSpecifications.")
        patch["AdditionalInferenceSpecifications"] = every
    return patch


def _uid(call: Any, request: dict[str, Any]) -> str | None:
    """The same ClientToken names the same package: a repeated request (clients repeat them by themselves) makes no second version."""
    token = request.get("ClientToken")
    if not token:
        return None
    about = (call.account, call.region, token, request.get("ModelPackageName", ""), request.get("ModelPackageGroupName", ""))
    return hashlib.sha256("\0".join(about).encode()).hexdigest()[:24]


def _draft(status: str, account: str, region: str, name: str, arn: str, spec: dict[str, Any], state: dict[str, Any], now: float) -> Record:
    """The record as it will be, for the event that is committed with it."""
    return Record("", KIND, account, region, name, arn, None, status, spec, state, 1, None, 0, now, now)


def _taken(arn: str) -> ApiError:
    return api.error.ConflictException(f"Model Package already exists: {arn}")
