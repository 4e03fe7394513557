"""What artifacts, actions and contexts share."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.lifecycle import Lifecycle, static
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, changed, full_arn, list_page, tags_of
from modelyard.services.sagemaker.experiments.common import page_of
from modelyard.services.sagemaker.experiments.component import LINEAGE_GROUP

ARTIFACT, ACTION, CONTEXT = static("artifact"), static("action"), static("context")
NOUNS = {ARTIFACT.kind: "Artifact", ACTION.kind: "Action", CONTEXT.kind: "Context"}
MOST_PROPERTIES = 30


def create(call: Any, kind: Lifecycle, request: dict[str, Any], name: str, taken: str) -> Record:
    """`taken` is the error's text for one that is there: the SDK looks for "already exists" in it."""
    arn, tags = arn_of(call, kind.kind, name), tags_of(request)
    if call.store.by_arn(arn):
        raise validation(taken)
    spec = {key: value for key, value in request.items() if key != "Tags"}
    try:
        record = call.store.create(kind, account=call.account, region=call.region, name=name, arn=arn, spec=spec, tags=tags)
    except Taken:
        raise validation(taken) from None
    call.platform.lineage_edges.come_from(arn, request["Source"]["SourceUri"], record.uid)
    return record


def the(call: Any, kind: Lifecycle, name: str) -> Record:
    arn = full_arn(call, kind.kind, name)
    record = call.store.by_arn(arn)
    if record is None or record.kind != kind.kind or record.account != call.account:
        raise api.error.ResourceNotFound(f"{NOUNS[kind.kind]} '{arn}' does not exist.")
    return record


def shown(call: Any, record: Record) -> dict[str, Any]:
    """Describe's answer but for name and ARN; what the request gave comes back."""
    spec = {"Properties": {}, **record.spec}
    times = {"CreationTime": record.created_at, "LastModifiedTime": record.updated_at, "CreatedBy": {}, "LastModifiedBy": {}}
    return {**spec, **times, "LineageGroupArn": arn_of(call, "lineage-group", LINEAGE_GROUP)}


def update(call: Any, kind: Lifecycle, name: str, request: dict[str, Any], members: tuple[str, ...]) -> Record:
    """`members` are replaced, Properties merged."""

    def change(record: Record) -> dict[str, Any]:
        patch = {member: request[member] for member in members if member in request}
        merged = {**record.spec.get("Properties", {}), **request.get("Properties", {})}
        merged = {key: value for key, value in merged.items() if key not in request.get("PropertiesToRemove", ())}
        if len(merged) > MOST_PROPERTIES:
            raise validation(f"{NOUNS[kind.kind]} entities can have at most {MOST_PROPERTIES} Properties; this would make {len(merged)}.")
        return patch | {"Properties": merged}

    return changed(call, lambda: the(call, kind, name), change)


def delete(call: Any, kind: Lifecycle, name: str) -> Record:
    """Associations go first, as in AWS."""
    edges = call.platform.lineage_edges
    while True:
        record = the(call, kind, name)
        if found := edges.touching(record.arn):
            raise validation(
                f"{NOUNS[kind.kind]} '{record.arn}' still has {len(found)} associations (one goes from '{found[0].source.arn}' to "
                f"'{found[0].destination.arn}'): delete them first."
            )
        try:
            call.store.delete(record)
        except Moved:
            continue
        edges.forget_source(record.arn)
        return record


def listed(call: Any, kind: Lifecycle, request: dict[str, Any], type_member: str) -> tuple[list[Record], dict[str, str]]:
    """One page, by SourceUri and type."""
    wanted = request.get(type_member)

    def keep(record: Record) -> bool:
        return wanted is None or record.spec.get(type_member) == wanted

    if "SourceUri" not in request:
        return list_page(call, kind.kind, request, keep=keep if wanted is not None else None)
    found = call.store.by_uids(call.platform.lineage_edges.of_source(request["SourceUri"]))
    mine = [r for r in found if (r.kind, r.account, r.region) == (kind.kind, call.account, call.region) and keep(r)]
    return page_of(mine, request)


def summary(record: Record, arn: str, members: tuple[str, ...]) -> dict[str, Any]:
    said = {arn: record.arn, "CreationTime": record.created_at, "LastModifiedTime": record.updated_at}
    return said | {member: record.spec[member] for member in members if member in record.spec}
