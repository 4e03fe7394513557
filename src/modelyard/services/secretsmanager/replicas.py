"""Replicas of secrets in other regions: what is wished, what is there, and the copying.

A primary's spec has Replicas: [{Region, KmsKeyId, Force, Failed}]; a replica is a record of its region with the same name and random end
of its ARN, and Primary (the primary's uid). The engine copies until each replica says the same as its primary: values encrypted anew
under the replica's key, stages, description, tags, policy. A crash repeats the look. Source: "Replicate secrets across Regions" of the
Secrets Manager user guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record, new_uid
from modelyard.kernel.store import Moved, Store, Taken
from modelyard.services.secretsmanager.secret import SECRET, opened, sealed

IN_SYNC, BEHIND, FAILED = "InSync", "InProgress", "Failed"
_COPIED = ("Description", "Policy", "Changed", "Rotated")


def arn_in(primary: Record, region: str) -> str:
    pieces = primary.arn.split(":", 4)
    return ":".join([*pieces[:3], region, pieces[4]])


def replica_of(store: Store, primary: Record, region: str) -> Record | None:
    """The secret of that name in that region, whosever it is."""
    return store.get(SECRET.kind, primary.account, region, primary.name)


def state_of(store: Store, primary: Record, wish: Mapping[str, Any]) -> tuple[str, str]:
    """(Status, StatusMessage) of one replica."""
    found = replica_of(store, primary, wish["Region"])
    if found is not None and found.spec.get("Primary") != primary.uid and not wish.get("Force"):
        return FAILED, f"Replication failed: Secret name {primary.name} already exists in region {wish['Region']}."
    if found is not None and _says_the_same(primary, found, wish) and store.tags(found.arn) == store.tags(primary.arn):
        return IN_SYNC, "Replication succeeded"
    return (FAILED, wish["Failed"]) if wish.get("Failed") else (BEHIND, "Replication in progress")


def told_replication(store: Store, record: Record) -> dict[str, Any]:
    """PrimaryRegion and ReplicationStatus, where the secret has replicas or is one."""
    if record.spec.get("Primary"):
        return {"PrimaryRegion": record.spec["PrimaryRegion"]}
    if not record.spec.get("Replicas"):
        return {}
    return {"PrimaryRegion": record.region, "ReplicationStatus": statuses(store, record)}


def statuses(store: Store, primary: Record) -> list[dict[str, Any]]:
    told = []
    for wish in primary.spec.get("Replicas", []):
        status, text = state_of(store, primary, wish)
        key = wish.get("KmsKeyId") or "alias/aws/secretsmanager"
        one = {"Region": wish["Region"], "KmsKeyId": key, "Status": status, "StatusMessage": text}
        found = replica_of(store, primary, wish["Region"])
        told.append(one | ({"LastAccessedDate": found.spec["Accessed"]} if found is not None and found.spec.get("Accessed") else {}))
    return told


@dataclass(frozen=True)
class Copy:
    """Brings one replica to what its primary says."""

    uid: str
    region: str

    def perform(self, world: Any) -> None:
        primary = world.store.by_uid(self.uid)
        wish = next((one for one in (primary.spec.get("Replicas") or []) if one["Region"] == self.region), None) if primary else None
        if primary is None or wish is None:
            return
        try:
            _copy(world, primary, wish)
            failed = None
        except Moved:
            return  # somebody changed the replica: it is looked at again
        except ApiError as problem:
            failed = f"Replication failed: {problem.message or problem.code}"
        if failed != wish.get("Failed"):
            changed = [{**one, "Failed": failed} if one is wish else one for one in primary.spec["Replicas"]]
            try:
                world.store.request(primary, {"Replicas": changed}, due=False)
            except Moved:
                return


def remove(world: Any, replica: Record) -> None:
    """Raises Moved."""
    world.store.delete(replica)
    world.secrets.forget(replica.uid)


# --- helpers -------------------------------------------------------------------------------------


def _says_the_same(primary: Record, replica: Record, wish: Mapping[str, Any]) -> bool:
    if replica.spec.get("Primary") != primary.uid or replica.spec.get("KmsKeyId") != wish.get("KmsKeyId"):
        return False
    return _told(primary) == _told(replica)


def _told(record: Record) -> tuple[Any, ...]:
    """What primary and replica must say alike; of a value, the row of the primary that it is."""
    versions = {name: (one.get("From", one["Value"]), sorted(one["Stages"])) for name, one in record.spec["Versions"].items()}
    return (versions, *(record.spec.get(member) for member in _COPIED))


def _copy(world: Any, primary: Record, wish: Mapping[str, Any]) -> None:
    store, arn = world.store, arn_in(primary, wish["Region"])
    found = replica_of(store, primary, wish["Region"])
    if found is not None and found.spec.get("Primary") != primary.uid:
        if not wish.get("Force"):
            return
        remove(world, found)
        found = None
    uid = found.uid if found is not None else new_uid()
    have = found.spec["Versions"] if found is not None and found.spec.get("KmsKeyId") == wish.get("KmsKeyId") else {}
    versions, added = {}, []
    for name, one in primary.spec["Versions"].items():
        old = have.get(name)
        if old is not None and old.get("From") == one["Value"]:
            versions[name] = {**old, "Stages": one["Stages"]}
            continue
        row, key = _sealed_anew(world, primary, name, one["Value"], uid, arn, wish.get("KmsKeyId"))
        added += [row] if row else []
        versions[name] = {**one, "Value": row, "From": one["Value"], "Key": key if wish.get("KmsKeyId") else "DefaultEncryptionKey"}
    spec = {member: primary.spec.get(member) for member in _COPIED} | {"KmsKeyId": wish.get("KmsKeyId"), "Versions": versions}
    tags = store.tags(primary.arn)
    try:
        if found is None:
            mine = {"Primary": primary.uid, "PrimaryRegion": primary.region}
            whole = {member: value for member, value in {**spec, **mine}.items() if value is not None}
            place = {"account": primary.account, "region": wish["Region"], "name": primary.name, "arn": arn}
            store.create(SECRET, **place, spec=whole, tags=tags, uid=uid)
            return
        store.request(found, spec, due=False)
    except (Taken, Moved):
        world.secrets.drop(added)
        raise Moved(uid) from None
    kept = {one["Value"] for one in versions.values()}
    world.secrets.drop(one["Value"] for one in found.spec["Versions"].values() if one["Value"] and one["Value"] not in kept)
    store.remove_tags(found.arn, [name for name in store.tags(found.arn) if name not in tags])
    store.set_tags(found.arn, tags)


def _sealed_anew(
    world: Any, primary: Record, version: str, row: str | None, uid: str, arn: str, key: str | None
) -> tuple[str | None, str | None]:
    """(row of the value for the replica, ARN of its key); (None, None) where there is no value yet."""
    content = world.secrets.get(row) if row else None
    if content is None:
        return None, None
    clear = opened(world.kms, primary.arn, version, content)
    text, key_arn = sealed(world.kms, arn, version, clear.get("SecretString", clear.get("SecretBinary")), key)
    return world.secrets.add(uid, text), key_arn
