"""ReplicateKey, UpdatePrimaryRegion; and what a family of multi-Region keys does by itself (by the engine)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Step, Taken
from modelyard.services.kms import api
from modelyard.services.kms.access import find_key, of_request, the_key
from modelyard.services.kms.family import FAMILY, KIND, home_of, is_multi_region, is_replica, members, primary_of, whole
from modelyard.services.kms.key import check_room
from modelyard.services.kms.keyring import DAY, KEY, check_state, metadata, state_of
from modelyard.services.kms.making import first_material, key_arn
from modelyard.services.kms.policy import check_customer, checked_policy, default_policy
from modelyard.services.kms.tags import checked_tags
from modelyard.services.kms.upkeep import next_rotation, rotated, rotation_due

UNUSED_S = 3600.0
_SHARED = ("KeyUsage", "KeySpec", "Origin")


@api.operation
def replicate_key(call, request):
    """The replica is usable at once, or as soon as the same material has been imported into it."""
    region = request["ReplicaRegion"]
    primary = the_key(call, request["KeyId"], request, own=True, **{"kms:ReplicaRegion": region})
    check_customer(primary)
    _check_primary(primary)
    check_state(primary, call.now())
    if region not in regions():
        raise validation(f"The Region {region} is not one of this partition in which AWS KMS is available.")
    facts = {
        "kms:MultiRegion": True,
        "kms:MultiRegionKeyType": "REPLICA",
        "kms:PrimaryRegion": primary.region,
        "aws:RequestedRegion": region,
    }
    facts |= {f"kms:{name}": primary.spec[name] for name in ("KeySpec", "KeyUsage")} | {"kms:KeyOrigin": primary.spec["Origin"]}
    call.authorize("kms:CreateKey", "*", {**of_request(call, request), **facts})
    tags = checked_tags(request.get("Tags") or [], {})
    if tags:
        call.authorize("kms:TagResource", "*", {**of_request(call, request), **facts})
    arn, policy = key_arn(call.account, region, primary.name), json.dumps(default_policy(call.account), indent=2)
    if request.get("Policy"):
        policy = checked_policy(call, request["Policy"], arn, call.account, bool(request.get("BypassPolicyLockoutSafetyCheck")))
    check_room(call, region)
    own = {"Description": request.get("Description", ""), "Manager": "CUSTOMER", "Enabled": True, "Policy": policy}
    spec = {**own, **{name: primary.spec[name] for name in _SHARED}}
    try:
        made = call.store.create(
            KEY, account=call.account, region=region, name=primary.name, arn=arn, spec=spec, tags=tags, owner=primary.owner
        )
    except Taken:
        raise api.error.AlreadyExistsException(
            f"Unable to replicate key {primary.name} to region {region}, as the key already exist there"
        ) from None
    told = {"ReplicaTags": [{"TagKey": name, "TagValue": value} for name, value in tags.items()]} if tags else {}
    return {"ReplicaKeyMetadata": metadata(whole(call.store, made), call.now()), "ReplicaPolicy": policy, **told}


@api.operation
def update_primary_region(call, request):
    """One write: the family says which region is the primary one."""
    region = request["PrimaryRegion"]
    primary = the_key(call, request["KeyId"], request, own=True, **{"kms:PrimaryRegion": region})
    _check_primary(primary)
    if region == primary.region:
        raise api.error.UnsupportedOperationException(f"{region} is the primary Region of {primary.arn} already.")
    replica = find_key(call.store, call.account, region, primary.name)
    call.authorize("kms:UpdatePrimaryRegion", replica.arn, {"kms:PrimaryRegion": region, "kms:CallerAccount": call.principal.account})
    for one in (primary, replica):
        check_state(one, call.now(), "Enabled", "Disabled", "PendingImport")
    while True:
        family = call.store.get(KIND, call.account, "", primary.name)
        if family is None or family.spec["Primary"] != primary.region:
            raise _no_primary(primary)
        try:
            call.store.request(family, {"Primary": region})
            return {}
        except Moved:
            continue


@dataclass(frozen=True)
class BeginWait:
    """The last replica is gone: the primary's own time of waiting for its deletion begins."""

    uid: str

    def perform(self, world: Any) -> None:
        key = world.store.by_uid(self.uid)
        if key is None or key.spec.get("DeletionWindow") is None:
            return
        try:
            due = world.clock.now() + key.spec["DeletionWindow"] * DAY
            world.store.request(key, {"DeletionDate": due, "DeletionWindow": None})
        except Moved:
            return  # somebody changed the key: its family is woken by that


def observe(family: Record, world: Any) -> dict[str, Any]:
    """How many keys it has, whether the primary is in use, the primary that waits for its last replica to go, and fresh material."""
    now, primary, have = world.clock.now(), primary_of(world.store, family), members(world.store, family)
    found: dict[str, Any] = {"keys": len(have), "enabled": False, "waits": None, "fresh": None}
    if primary is None:
        return found
    if primary.spec.get("DeletionWindow") is not None and len(have) == 1:
        found["waits"] = primary.uid
    found["enabled"] = state_of(whole(world.store, primary), now) == "Enabled"
    if found["enabled"] and rotation_due(family, now) is not None:
        found["fresh"] = first_material(world.kms.root, home_of(primary), primary.spec["KeySpec"], now)
    return found


@api.reconciler(FAMILY, observe)
def decide(family: Record, seen: dict[str, Any], now: float) -> Step:
    """Rotated as a key is, while its primary is in use; forgotten when it has no key (in its first hour one may be on its way)."""
    if not seen["keys"]:
        unused = family.created_at + UNUSED_S
        return Step("Active", delete=True) if now >= unused else Step("Active", wake_at=unused)
    if seen["waits"]:
        return Step("Active", do=[BeginWait(seen["waits"])])
    if seen["fresh"] is not None:
        return rotated(family, seen["fresh"], now)
    return Step("Active", wake_at=next_rotation(family) if seen["enabled"] else None)


# --- helpers -------------------------------------------------------------------------------------


@cache
def regions() -> frozenset[str]:
    from botocore.loaders import Loader

    partitions = Loader().load_data("endpoints")["partitions"]
    return frozenset(next(one for one in partitions if one["partition"] == "aws")["regions"])


def _check_primary(key: Record) -> None:
    if not is_multi_region(key) or is_replica(key):
        raise _no_primary(key)


def _no_primary(key: Record) -> Exception:
    return api.error.UnsupportedOperationException(f"{key.arn} is not a multi-region primary key.")
