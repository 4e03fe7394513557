"""Alias records: second names of keys."""

from __future__ import annotations

from modelyard.kernel.lifecycle import static
from modelyard.kernel.records import Record
from modelyard.kernel.store import Store

ALIAS = static("kms-alias")
"""`name` is `alias/…`; spec {"TargetKeyId"}."""


def alias_arn(account: str, region: str, name: str) -> str:
    return f"arn:aws:kms:{region}:{account}:{name}"


def alias_names(store: Store, key: Record) -> list[str]:
    """Those of an AWS-managed key are known without a look: it has its own and takes no other."""
    return [key.spec["Alias"]] if "Alias" in key.spec else [alias.name for alias in aliases_of(store, key)]


def aliases_of(store: Store, key: Record) -> list[Record]:
    return [one for one in store.list(ALIAS.kind, key.account, key.region, order_by="name") if one.spec["TargetKeyId"] == key.name]
