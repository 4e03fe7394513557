"""ReplicateSecretToRegions, RemoveRegionsFromReplication, StopReplicationToReplica. What copies is in replicas.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.secretsmanager import api
from modelyard.services.secretsmanager.replicas import remove, replica_of, statuses
from modelyard.services.secretsmanager.secret import change, check_alive, check_primary, the_secret


@api.operation
def replicate_secret_to_regions(call, request):
    """The engine copies; a replica that failed is tried anew."""
    record, force = the_secret(call, request["SecretId"]), bool(request.get("ForceOverwriteReplicaSecret"))
    check_primary(record)
    wanted = checked_regions(call.region, request["AddReplicaRegions"], force)

    def added(now: Record) -> dict[str, Any]:
        check_alive(now)
        have = {one["Region"]: one for one in now.spec.get("Replicas", [])}
        return {"Replicas": [*({**have, **{one["Region"]: one for one in wanted}}).values()]}

    record = change(call, record, added, due=True)
    return {"ARN": record.arn, "ReplicationStatus": statuses(call.store, record)}


@api.operation
def remove_regions_from_replication(call, request):
    record = the_secret(call, request["SecretId"])
    check_primary(record)
    gone = set(request["RemoveReplicaRegions"])
    if unknown := gone - {one["Region"] for one in record.spec.get("Replicas", [])}:
        raise api.error.InvalidParameterException(f"The secret has no replica in {', '.join(sorted(unknown))}.")
    record = change(
        call, record, lambda now: {"Replicas": [one for one in now.spec.get("Replicas", []) if one["Region"] not in gone] or None}, due=True
    )
    for region in sorted(gone):
        while (found := replica_of(call.store, record, region)) is not None and found.spec.get("Primary") == record.uid:
            try:
                remove(call.platform, found)
            except Moved:
                continue
    return {"ARN": record.arn, "ReplicationStatus": statuses(call.store, record)}


@api.operation
def stop_replication_to_replica(call, request):
    """The replica becomes a secret of its own; asked for in its region."""
    record = the_secret(call, request["SecretId"])
    if not record.spec.get("Primary"):
        raise api.error.InvalidParameterException("The secret is not a replica. Call must be made in the replica's region.")
    primary = call.store.by_uid(record.spec["Primary"])
    if primary is not None:  # first: a crash in between leaves a replica that nobody writes, and this call again ends it
        change(
            call, primary, lambda now: {"Replicas": [one for one in now.spec.get("Replicas", []) if one["Region"] != call.region] or None}
        )
    record = change(call, record, lambda now: {"Primary": None, "PrimaryRegion": None, "Versions": _own(now)}, due=True)
    return {"ARN": record.arn}


# --- helpers -------------------------------------------------------------------------------------


def checked_regions(home: str, given: Sequence[Mapping[str, Any]], force: bool) -> list[dict[str, Any]]:
    """The wishes of a request. Raises InvalidParameterException."""
    wanted = [{"Region": one.get("Region"), "KmsKeyId": one.get("KmsKeyId"), "Force": force, "Failed": None} for one in given]
    names = [one["Region"] for one in wanted]
    if any(name == home or name not in _regions() for name in names) or len(set(names)) < len(names):
        raise api.error.InvalidParameterException("Invalid replica region.")
    return wanted


def _own(record: Record) -> dict[str, Any]:
    return {name: {member: value for member, value in one.items() if member != "From"} for name, one in record.spec["Versions"].items()}


@cache
def _regions() -> frozenset[str]:
    from botocore.loaders import Loader

    partitions = Loader().load_data("endpoints")["partitions"]
    return frozenset(next(one for one in partitions if one["partition"] == "aws")["regions"])
