"""Artifacts: what has a URI - a data set, an image, a model. There is one for a source, whoever made it."""

from __future__ import annotations

import hashlib
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of
from modelyard.services.sagemaker.lineage.entity import ARTIFACT, create, delete, listed, shown, summary, the, update


@api.operation
def create_artifact(call, request):
    name = artifact_id(request["Source"])
    taken = f"Artifact with source URI ({request['Source']['SourceUri']}) already exists: {arn_of(call, ARTIFACT.kind, name)}"
    return {"ArtifactArn": create(call, ARTIFACT, request, name, taken).arn}


@api.operation
def describe_artifact(call, request):
    record = the(call, ARTIFACT, request["ArtifactArn"])
    return {"ArtifactArn": record.arn, **shown(call, record)}


@api.operation
def update_artifact(call, request):
    return {"ArtifactArn": update(call, ARTIFACT, request["ArtifactArn"], request, ("ArtifactName",)).arn}


@api.operation
def list_artifacts(call, request):
    found, more = listed(call, ARTIFACT, request, "ArtifactType")
    return {"ArtifactSummaries": [summary(r, "ArtifactArn", ("ArtifactName", "Source", "ArtifactType")) for r in found], **more}


@api.operation
def delete_artifact(call, request):
    if ("ArtifactArn" in request) == ("Source" in request):
        raise validation("Either ArtifactArn or Source must be given, and not both.")
    name = request.get("ArtifactArn") or artifact_id(request["Source"])
    return {"ArtifactArn": delete(call, ARTIFACT, name).arn}


def artifact_id(source: dict[str, Any]) -> str:
    """The last part of the ARN: the same for the same source (its URI and the hashes that were given with it)."""
    types = sorted(f"{one['SourceIdType']}={one['Value']}" for one in source.get("SourceTypes", []))
    return hashlib.sha256("\0".join((source["SourceUri"], *types)).encode()).hexdigest()[:32]
