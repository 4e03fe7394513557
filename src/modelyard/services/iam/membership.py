"""Who is in which group. A user's record holds the uids of its groups, so that a group may change its name."""

from __future__ import annotations

from modelyard.kernel.records import Record
from modelyard.kernel.store import Store
from modelyard.services.iam import names


def groups_of(store: Store, user: Record) -> list[Record]:
    """The groups of a user, by name. Records of before hold names."""
    found = [store.by_uid(entry) or store.get(names.GROUP.kind, user.account, names.GLOBAL, entry) for entry in user.spec.get("Groups", [])]
    return sorted((group for group in found if group is not None), key=lambda group: group.name)


def is_in(user: Record, group: Record) -> bool:
    return group.uid in user.spec["Groups"] or group.name in user.spec["Groups"]


def members(store: Store, group: Record) -> list[Record]:
    users = store.list(names.USER.kind, group.account, names.GLOBAL, order_by="name")
    return [user for user in users if is_in(user, group)]
