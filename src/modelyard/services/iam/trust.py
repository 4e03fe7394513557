"""Trust policies in force: whom a role trusts, and whether a service may act as it.

Source: IAM User Guide, "AWS JSON policy elements: Principal" (a user or role that is named is remembered by its unique id, so that one
made later under the same name is not trusted) and "The confused deputy problem" (aws:SourceAccount, aws:SourceArn).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from modelyard.kernel.records import Record
from modelyard.kernel.store import Store
from modelyard.services.iam import names
from modelyard.services.iam.context import Context
from modelyard.services.iam.document import PolicySet, as_list, compile_policy, parse
from modelyard.services.iam.evaluate import Policies, evaluate
from modelyard.services.iam.principals import service_principal
from modelyard.services.iam.request_context import of_principal
from modelyard.services.iam.resource_documents import PoliciesOf

_KINDS = {"role": (names.ROLE, "RoleId"), "user": (names.USER, "UserId")}
_NOBODY = Policies(PolicySet(()))


def unique_id(store: Store, arn: str) -> str | None:
    """Of the user or role of this ARN; None: it is not there, or it is neither."""
    parts = arn.split(":", 5)
    word, _, rest = parts[-1].partition("/")
    if len(parts) != 6 or word not in _KINDS:
        return None
    kind, member = _KINDS[word]
    record = store.get(kind.kind, parts[4], names.GLOBAL, rest.rsplit("/", 1)[-1])
    return record.spec[member] if record is not None and record.arn == arn else None


def remembered(store: Store, text: str) -> dict[str, str]:
    """ARN → unique id of the users and roles that a trust policy names: kept with the role as `TrustIds`."""
    names = [arn for statement in as_list(parse(text)["Statement"]) for arn in named_in(statement)]
    return {arn: known for arn in names if (known := unique_id(store, arn)) is not None}


def named_in(statement: Mapping[str, Any]) -> Iterator[str]:
    """The ARNs of users and roles in a statement's Principal and NotPrincipal."""
    for member in ("Principal", "NotPrincipal"):
        element = statement.get(member)
        for arn in as_list(element.get("AWS", [])) if isinstance(element, Mapping) else []:
            if isinstance(arn, str) and (":user/" in arn or ":role/" in arn):
                yield arn


def in_force(store: Store, role: Record) -> str:
    """The trust policy as it is answered and evaluated: a name whose owner is gone is shown as the unique id it stood for."""
    text = role.spec["AssumeRolePolicyDocument"]
    gone = {arn: known for arn, known in role.spec.get("TrustIds", {}).items() if unique_id(store, arn) != known}
    if not gone:
        return text
    document = orjson.loads(text)
    for statement in as_list(document["Statement"]):
        for member in ("Principal", "NotPrincipal"):
            element = statement.get(member)
            if isinstance(element, dict) and "AWS" in element:
                named = [gone.get(arn, arn) for arn in as_list(element["AWS"])]
                element["AWS"] = named if isinstance(element["AWS"], list) else named[0]
    return orjson.dumps(document).decode()


def policies_of(platform: Any) -> PoliciesOf:
    """For `parts["resource_policies"]`: nobody assumes a role that its trust policy does not admit."""

    def find(arn: str) -> tuple[str | None, str | None]:
        role = platform.identity.role(arn)
        return (in_force(platform.store, role), role.account) if role is not None else (None, None)

    return PoliciesOf((":role/",), find, must_grant=True)


def admits_service(store: Store, role: Record, service: str, region: str, source_arn: str | None = None) -> bool:
    """Whether the service may assume the role for a resource of the role's own account. Where its ARN is not known yet, any resource of
    the account, region and service will do that the policy asks for."""
    statements = compile_policy(in_force(store, role), f"the trust policy of role {role.name}")
    caller, trust = service_principal(service), PolicySet(statements)
    sources = (
        [source_arn] if source_arn else [None, *_possible(parse(role.spec["AssumeRolePolicyDocument"]), service, region, role.account)]
    )
    for source in sources:
        context = Context(of_principal(caller, {}), {"aws:SourceAccount": role.account, "aws:SourceArn": source})
        if evaluate(caller, _NOBODY, "sts:AssumeRole", role.arn, context, trust, role.account).allowed:
            return True
    return False


def _possible(document: Mapping[str, Any], service: str, region: str, account: str) -> Iterator[str]:
    for statement in as_list(document["Statement"]):
        for keys in statement.get("Condition", {}).values():
            for key, values in keys.items():
                for value in as_list(values) if key.lower() == "aws:sourcearn" else []:
                    rest = str(value).split(":", 5)[5:] or [""]
                    yield f"arn:aws:{service.partition('.')[0]}:{region}:{account}:{rest[0].replace('*', 'any').replace('?', 'a')}"
