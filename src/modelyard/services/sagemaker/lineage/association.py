"""Associations: directed edges between lineage entities."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import PAGE, full_arn
from modelyard.services.sagemaker.lineage.edges import SORTS, Edge, End

TYPES = {"artifact": "ArtifactType", "action": "ActionType", "context": "ContextType"}
EXPERIMENTS = ("experiment", "experiment-trial-component")
FILTERS = {
    "SourceArn": "source", "DestinationArn": "destination", "SourceType": "source_type", "DestinationType": "destination_type",
    "AssociationType": "type",
}  # fmt: skip


@api.operation
def add_association(call, request):
    source, destination = _entity(call, request["SourceArn"]), _entity(call, request["DestinationArn"])
    if source.arn == destination.arn:
        raise validation(f"An entity cannot be associated with itself: '{source.arn}'.")
    if source.kind in EXPERIMENTS and destination.kind in EXPERIMENTS:
        raise validation("Associations cannot be created between two experiment entities: one end must be an artifact, action or context.")
    edge = Edge(end_of(source), end_of(destination), request.get("AssociationType", "AssociatedWith"), call.now())
    if not call.platform.lineage_edges.add(call.account, call.region, [edge]):
        raise validation(f"Association between source ({source.arn}) and destination ({destination.arn}) already exists.")
    return {"SourceArn": source.arn, "DestinationArn": destination.arn}


@api.operation
def delete_association(call, request):
    source, destination = _arn(call, request["SourceArn"]), _arn(call, request["DestinationArn"])
    if not call.platform.lineage_edges.remove(source, destination):
        raise api.error.ResourceNotFound(f"Association between source ({source}) and destination ({destination}) does not exist.")
    return {"SourceArn": source, "DestinationArn": destination}


@api.operation
def list_associations(call, request):
    wanted = {column: request[member] for member, column in FILTERS.items() if member in request}
    wanted |= {column: _arn(call, wanted[column]) for column in ("source", "destination") if column in wanted}
    column = SORTS[request.get("SortBy", "CreationTime")]
    descending = request.get("SortOrder", "Descending") == "Descending"
    limit = request.get("MaxResults", PAGE)
    found = call.platform.lineage_edges.list(
        call.account, call.region, wanted, after=request.get("CreatedAfter"), before=request.get("CreatedBefore"), order_by=column,
        descending=descending, limit=limit + 1,
        place=decode_token(request.get("NextToken"), validation, [0.0 if column == "created_at" else "", "", ""]),
    )  # fmt: skip
    answer = {"AssociationSummaries": [_summary(edge) for edge in found[:limit]]}
    if len(found) > limit:
        last = found[limit - 1]
        answer["NextToken"] = encode_token([last.value(column), last.source.arn, last.destination.arn])
    return answer


def end_of(record: Record) -> End:
    """How an entity is shown at an end of its associations."""
    if record.kind in TYPES:
        name = record.spec.get("ArtifactName", "") if record.kind == "artifact" else record.name
        return End(record.arn, record.spec[TYPES[record.kind]], name)
    source = record.spec.get("Source", {}).get("SourceType")
    return End(record.arn, source or {"experiment": "Experiment"}.get(record.kind, "TrialComponent"), record.name)


def _arn(call: Any, arn: str) -> str:
    return full_arn(call, "", arn)


def _entity(call: Any, arn: str) -> Record:
    record = call.store.by_arn(_arn(call, arn))
    if record is None or record.account != call.account:
        raise api.error.ResourceNotFound(f"Resource '{arn}' does not exist.")
    return record


def _summary(edge: Edge) -> dict[str, Any]:
    said = {
        "SourceArn": edge.source.arn, "DestinationArn": edge.destination.arn, "SourceType": edge.source.type,
        "DestinationType": edge.destination.type, "AssociationType": edge.type, "SourceName": edge.source.name,
        "DestinationName": edge.destination.name, "CreationTime": edge.created_at, "CreatedBy": {},
    }  # fmt: skip
    return {member: value for member, value in said.items() if value != ""}
