"""Whether a principal that a policy or a grant names is there. Made for services that refuse one that is not (KMS, Secrets Manager)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.store import Store

_ARN = re.compile(r"arn:aws:(iam|sts)::(\d{12}):(root|user/.+|role/.+|assumed-role/([^/]+)/.+|federated-user/.+)\Z")


def is_there(store: Store, principal: str) -> bool:
    """Users, roles and the roles of sessions are looked up; accounts and federated users are taken as they are."""
    found = _ARN.match(principal)
    if found is None:
        return False
    if found[4]:
        return store.get("iam-role", found[2], "global", found[4]) is not None
    return found[3] == "root" or found[1] == "sts" or store.by_arn(principal) is not None


def strangers(store: Store, document: Mapping[str, Any]) -> list[str]:
    """ARNs that a policy names as principals and that are nobody's."""
    statements = document["Statement"]
    wrong = []
    for statement in statements if isinstance(statements, list) else [statements]:
        named = statement.get("Principal", statement.get("NotPrincipal"))
        names = named.get("AWS", []) if isinstance(named, dict) else []
        wrong += [one for one in ([names] if isinstance(names, str) else names) if one.startswith("arn:") and not is_there(store, one)]
    return wrong
