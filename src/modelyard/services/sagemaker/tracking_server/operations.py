"""Create, describe, list, update, start, stop, delete."""

from __future__ import annotations

import re
from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, list_page, parse_s3_uri, tags_of, user_context
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.tracking_server.lifecycle import ACTIVE, DOWN, ENDS, LIFECYCLE, status_of

VERSION = "3.17.2"
"""What runs (runtime/images/recipes/mlflow.in); AWS's own versions are taken and this one runs in their place, as Describe tells."""
OTHER_VERSIONS = re.compile(r"[23]\.\d+\.\d+")
ECHOED = (
    "ArtifactStoreUri", "TrackingServerSize", "RoleArn", "WeeklyMaintenanceWindowStart", "AutomaticModelRegistration", "CreatedBy",
    "LastModifiedBy", "S3BucketOwnerAccountId", "S3BucketOwnerVerification",
)  # fmt: skip
UPDATABLE = (
    "ArtifactStoreUri", "TrackingServerSize", "AutomaticModelRegistration", "WeeklyMaintenanceWindowStart", "S3BucketOwnerAccountId",
    "S3BucketOwnerVerification",
)  # fmt: skip


@api.operation
def create_mlflow_tracking_server(call, request):
    name, arn, tags = request["TrackingServerName"], arn_of(call, LIFECYCLE.kind, request["TrackingServerName"]), tags_of(request)
    version = request.get("MlflowVersion", VERSION)
    if not OTHER_VERSIONS.fullmatch(version):
        raise validation(f"MlflowVersion {version} is not supported; {VERSION} is what runs here.")
    _check(request)
    if call.store.by_arn(arn):
        raise _taken(arn)
    call.platform.identity.check_pass_role(call, request["RoleArn"])
    _check_store(call, request["RoleArn"], request["ArtifactStoreUri"])
    spec = {key: value for key, value in request.items() if key not in ("Tags", "MlflowVersion")}
    spec = {"TrackingServerSize": "Small", "AutomaticModelRegistration": False, "S3BucketOwnerVerification": True, **spec}
    spec |= {"CreatedBy": user_context(call), "on": True, "asked": 1, "edition": 1}
    try:
        call.store.create(LIFECYCLE, account=call.account, region=call.region, name=name, arn=arn, spec=spec, tags=tags)
    except Taken:
        raise _taken(arn) from None
    call.platform.ring(LIFECYCLE.kind)
    return {"TrackingServerArn": arn}


@api.operation
def describe_mlflow_tracking_server(call, request):
    server = the_server(call, request["TrackingServerName"])
    if status_of(server) in (*ENDS, "Stopping", "Deleting"):
        call.hold(server)
    return {**_summary(server), **{m: server.spec[m] for m in ECHOED if m in server.spec}, "TrackingServerUrl": url(call, server)}


@api.operation
def list_mlflow_tracking_servers(call, request):
    wanted, version = request.get("TrackingServerStatus"), request.get("MlflowVersion")

    def keep(server: Record) -> bool:
        return wanted in (None, status_of(server)) and version in (None, VERSION)

    found, more = list_page(call, LIFECYCLE.kind, request, keep=keep)
    return {"TrackingServerSummaries": [_summary(server) for server in found], **more}


@api.operation
def update_mlflow_tracking_server(call, request):
    _check(request)

    def change(server: Record) -> dict[str, Any]:
        if status_of(server) not in (*ACTIVE, "UpdateFailed"):
            raise _conflict(server, "updated")
        if "ArtifactStoreUri" in request:
            _check_store(call, server.spec["RoleArn"], request["ArtifactStoreUri"])
        patch = {member: request[member] for member in UPDATABLE if member in request}
        return {**patch, "edition": server.spec["edition"] + 1, "LastModifiedBy": user_context(call)}

    return _wish(call, request, change)


@api.operation
def start_mlflow_tracking_server(call, request):
    def change(server: Record) -> dict[str, Any]:
        if status_of(server) not in ("Stopped", "CreateFailed", "StartFailed"):
            raise _conflict(server, "started")
        return {"on": True, "asked": server.spec["asked"] + 1}

    return _wish(call, request, change)


@api.operation
def stop_mlflow_tracking_server(call, request):
    def change(server: Record) -> dict[str, Any]:
        if status_of(server) not in (*ACTIVE, "UpdateFailed"):
            raise _conflict(server, "stopped")
        return {"on": False}

    return _wish(call, request, change)


@api.operation
def delete_mlflow_tracking_server(call, request):
    return _wish(call, request, lambda _: {"delete": True})


def the_server(call: Any, name: str) -> Record:
    arn = arn_of(call, LIFECYCLE.kind, name)
    server = call.store.by_arn(arn)
    if server is None:
        raise api.error.ResourceNotFound(f"Tracking Server '{arn}' does not exist.")
    return server


def url(call: Any, server: Record) -> str:
    """Where the server answers signed clients; a browser, or a client without a signature, needs a presigned URL."""
    return f"{'https' if call.secure else 'http'}://{call.host or '127.0.0.1'}/_modelyard/mlflow/{server.name.lower()}"


def _wish(call: Any, request: dict[str, Any], change: Any) -> dict[str, Any]:
    while True:
        server = the_server(call, request["TrackingServerName"])
        try:
            call.store.request(server, change(server))
        except Moved:
            continue
        call.platform.ring(LIFECYCLE.kind)
        return {"TrackingServerArn": server.arn}


def _summary(server: Record) -> dict[str, Any]:
    status = status_of(server)
    return {
        "TrackingServerArn": server.arn,
        "TrackingServerName": server.name,
        "CreationTime": server.created_at,
        "LastModifiedTime": server.updated_at,
        "TrackingServerStatus": status,
        "IsActive": "Inactive" if status in (*DOWN, "Creating", "Starting", "Stopping", "Deleting") else "Active",
        "MlflowVersion": VERSION,
    }


def _check(request: dict[str, Any]) -> None:
    if "ArtifactStoreUri" in request:
        parse_s3_uri(request["ArtifactStoreUri"], "artifactStoreUri")
    if request.get("AutomaticModelRegistration"):
        raise validation("AutomaticModelRegistration is not built yet: register models of MLflow with CreateModelPackage.")


def _check_store(call: Any, role: str, uri: str) -> None:
    """The role must be able to look into the bucket."""
    bucket, prefix = parse_s3_uri(uri, "artifactStoreUri")
    try:
        next(RoleSession(call.platform, call.account, call.region, role).list(bucket, prefix), None)
    except ApiError as problem:
        raise validation(
            f"The role {role} cannot use the artifact store {uri}: {problem.message} Check that the bucket exists and what the role may do in S3."
        ) from None


def _conflict(server: Record, done: str) -> ApiError:
    return api.error.ConflictException(f"Tracking Server '{server.arn}' cannot be {done} while its status is {status_of(server)}.")


def _taken(arn: str) -> ApiError:
    return validation(f"Tracking Server '{arn}' already exists.")
