"""What both kinds of identity providers share: whether a role's trust policy admits who comes with a provider's word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.identity import Principal
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam.context import Context
from modelyard.services.iam.document import PolicySet, compile_policy
from modelyard.services.iam.evaluate import Policies, evaluate
from modelyard.services.iam.request_context import of_principal, of_transport
from modelyard.services.iam.trust import in_force


def admitted(
    call: Call,
    role: Record,
    provider: Record,
    action: str,
    keys: Mapping[str, Any],
    session_name: str,
    tags: Mapping[str, str],
    source: str | None,
) -> bool:
    """`keys` are the condition keys of the provider's word, `tags` and `source` what it gives the session: each needs an action of its own."""
    caller = Principal("federated", "", provider.arn, "")
    more = {
        **{f"aws:RequestTag/{key}": value for key, value in tags.items()},
        "aws:TagKeys": list(tags) or None,
        "sts:RoleSessionName": session_name,
        "sts:SourceIdentity": source,
        "aws:FederatedProvider": provider.arn,
    }
    context = Context(keys, lambda: of_transport(call), of_principal(caller, {}), more)
    trust = PolicySet(compile_policy(in_force(call.store, role), f"the trust policy of role {role.name}"))
    asked = [action, *(["sts:TagSession"] if tags else []), *(["sts:SetSourceIdentity"] if source else [])]
    return all(evaluate(caller, Policies(PolicySet(())), one, role.arn, context, trust, role.account).allowed for one in asked)
