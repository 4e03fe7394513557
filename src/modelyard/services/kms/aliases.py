"""Alias records: second names of keys."""

from __future__ import annotations

from modelyard.kernel.lifecycle import static
from modelyard.kernel.records import Record
from modelyard.kernel.store import Store

ALIAS = static("kms-alias")
"""`name` is `alias/…`; spec {"TargetKeyId"}."""


def alias_arn(account: str, region: str, name: str) -> str:
    return f"arn:aws:kms:{region}:{account}:{name}"


def aliases_of(store: Store, key: Record) -> list[Record]:
    return [one for one in store.list(ALIAS.kind, key.account, key.region, order_by="name") if one.spec["TargetKeyId"] == key.name]
