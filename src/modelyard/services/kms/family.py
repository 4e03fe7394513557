"""Multi-Region keys: keys of one id in several regions, and the one record of what they share.

The family has the material, its rotation and which region is the primary one; each region's key is a record of its own, owned by the
family, with its own policy, aliases, grants, tags, state and imported bytes. So a rotation or a new primary is one write, and no region is
ever behind another. Source: "Multi-Region keys in AWS KMS" of the KMS developer guide.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record
from modelyard.kernel.store import Store

KIND, KEY_KIND = "kms-key-family", "kms-key"
FAMILY = Lifecycle(KIND, "Active")
"""`name` is the key id, `region` is empty. spec {Primary, Rotation, OnDemand, Order}, state {Materials, OnDemandDone}."""
PREFIX = "mrk-"


def is_multi_region(key: Record) -> bool:
    return key.name.startswith(PREFIX)


def home(account: str, region: str, name: str) -> str:
    """The ARN that a key's material is named after and sealed for: the same for all keys that share it."""
    return f"arn:aws:kms:{'' if name.startswith(PREFIX) else region}:{account}:key/{name}"


def home_of(key: Record) -> str:
    return home(key.account, key.region, key.name)


def whole(store: Store, key: Record) -> Record:
    """The key with what its family has, in `state`, where no operation writes: {Materials, Order, Primary, Regions}."""
    if not key.owner:
        return key
    family = store.by_uid(key.owner)
    if family is None:
        return key
    regions = [one.region for one in members(store, family)]
    shared = {"Materials": family.state.get("Materials", []), "Order": family.spec.get("Order", [])}
    return replace(key, state={**key.state, **shared, "Primary": family.spec["Primary"], "Regions": regions})


def keeper(store: Store, key: Record) -> Record:
    """The record that has the key's material and rotation: its family's, or the key itself."""
    return (store.by_uid(key.owner) or key) if key.owner else key


def members(store: Store, family: Record) -> list[Record]:
    """Bare records, in the order of regions."""
    return sorted(store.children(family.uid, KEY_KIND), key=lambda one: one.region)


def primary_of(store: Store, family: Record) -> Record | None:
    return store.get(KEY_KIND, family.account, family.spec["Primary"], family.name)


def is_replica(key: Record) -> bool:
    """Of a whole key."""
    return is_multi_region(key) and key.state.get("Primary") != key.region


def replicas_of(key: Record) -> list[str]:
    """Regions, of a whole key."""
    return [region for region in key.state.get("Regions", []) if region != key.state["Primary"]]


def configuration(key: Record) -> dict[str, Any]:
    """MultiRegionConfiguration of a whole key."""

    def place(region: str) -> dict[str, str]:
        return {"Arn": f"arn:aws:kms:{region}:{key.account}:key/{key.name}", "Region": region}

    kind = "REPLICA" if is_replica(key) else "PRIMARY"
    return {"MultiRegionKeyType": kind, "PrimaryKey": place(key.state["Primary"]), "ReplicaKeys": [place(one) for one in replicas_of(key)]}
