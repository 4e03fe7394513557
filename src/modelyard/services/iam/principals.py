"""The Principal element: whom a resource policy or a trust policy speaks of, and how directly.

Source: IAM User Guide, "AWS JSON policy elements: Principal". How directly matters: naming an account only lets that
account's own policies decide, while naming a user, a session or everyone grants by itself.
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.identity import Principal

ACCOUNT, ROLE, DIRECT = "account", "role", "direct"
_STRENGTH = {None: 0, ACCOUNT: 1, ROLE: 2, DIRECT: 3}


def matches(element: Any, principal: Principal) -> str | None:
    """The most direct way in which `element` names the caller: "direct", "role", "account" or None."""
    if element == "*":
        return DIRECT
    best: str | None = None
    for kind, names in element.items():
        for name in [names] if isinstance(names, str) else names:
            found = _one(kind, name, principal)
            if _STRENGTH[found] > _STRENGTH[best]:
                best = found
    return best


def _one(kind: str, name: str, principal: Principal) -> str | None:
    if kind == "Service":
        return DIRECT if principal.kind == "service" and principal.arn == name else None
    if kind == "Federated":
        return DIRECT if principal.kind == "federated" and principal.arn == name else None
    if kind != "AWS":
        return None
    if name == "*":
        return DIRECT
    if principal.kind in ("anonymous", "service", "federated"):
        return None
    if name == principal.account or name == f"arn:aws:iam::{principal.account}:root":
        return DIRECT if principal.kind == "root" else ACCOUNT
    if name == principal.arn:
        return DIRECT
    if principal.role_arn is not None and name in (principal.role_arn, principal.user_id.split(":")[0]):
        return ROLE
    if principal.kind == "federated-user" and name in (principal.session.get("user_arn"), principal.session.get("user_id")):
        return ROLE  # the user who asked for the session: its policies limit what such a statement grants
    if principal.kind == "user" and name == principal.user_id:
        return DIRECT
    return None


def service_principal(service: str) -> Principal:
    """An AWS service (`sagemaker.amazonaws.com`) as a caller."""
    return Principal("service", "", service, service)
