"""Resource policies of the account and of groups: which AWS services may put events here. No service of this platform needs one,
so they are checked, kept and told."""

from __future__ import annotations

from typing import Any

import orjson

from modelyard.kernel.lifecycle import static
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.iam.resource_documents import BadDocument, checked
from modelyard.services.logs import api
from modelyard.services.logs.groups import group_arn, the_group

POLICY = static("log-resource-policy")
MOST, PAGE, LONGEST = 10, 50, 5120


@api.operation
def put_resource_policy(call, request):
    """Of the account by a name (ten at most), or of one group by its ARN; a revision may be expected of the latter."""
    name, document = _name(call, request), request.get("policyDocument", "")
    try:
        checked(document, "logs")
    except BadDocument as problem:
        raise api.error.InvalidParameterException(f"Invalid policy document: {problem}") from None
    if len(document) > LONGEST:
        raise api.error.LimitExceededException("Resource limit exceeded.")
    there = _find(call, name)
    _check_revision(request, there)
    if there is None and "resourceArn" not in request and len(_all(call, "ACCOUNT")) >= MOST:
        raise api.error.LimitExceededException("Resource limit exceeded.")
    spec = {"document": document, "resourceArn": request.get("resourceArn"), "changed": int(call.now() * 1000)}
    try:
        if there is None:
            there = call.store.create(
                POLICY, account=call.account, region=call.region, name=name, arn=group_arn(call, f"policy/{name}"), spec=spec
            )
        else:
            there = call.store.request(there, spec, due=False)
    except (Taken, Moved):
        raise api.error.OperationAbortedException("A conflicting operation is currently in progress against this resource.") from None
    answer = {"resourcePolicy": _describe(there)}
    return {**answer, "revisionId": str(there.revision)} if "resourceArn" in request else answer


@api.operation
def describe_resource_policies(call, request):
    scope = request.get("policyScope", "RESOURCE" if "resourceArn" in request else "ACCOUNT")
    found = [one for one in _all(call, scope) if request.get("resourceArn", one.spec.get("resourceArn")) == one.spec.get("resourceArn")]
    after = decode_token(request.get("nextToken"), api.error.InvalidParameterException, "") or ""
    found, size = [one for one in found if one.name > after], request.get("limit", PAGE)
    answer = {"resourcePolicies": [{**_describe(one), "policyDocument": _plain(one.spec["document"])} for one in found[:size]]}
    if len(found) > size:
        answer["nextToken"] = encode_token(found[size - 1].name)
    return answer


@api.operation
def delete_resource_policy(call, request):
    there = _find(call, _name(call, request))
    if there is None:
        raise api.error.ResourceNotFoundException(f"Policy with name [{request.get('policyName', '')}] does not exist.")
    _check_revision(request, there)
    try:
        call.store.delete(there)
    except Moved:
        raise api.error.OperationAbortedException("A conflicting operation is currently in progress against this resource.") from None
    return {}


# --- helpers -------------------------------------------------------------------------------------


def _name(call: Any, request: dict[str, Any]) -> str:
    if "resourceArn" in request:
        return group_arn(call, the_group(call, request["resourceArn"]).name)
    if not request.get("policyName"):
        raise api.error.InvalidParameterException("Policy name must be given.")
    return request["policyName"]


def _find(call: Any, name: str) -> Record | None:
    return call.store.get(POLICY.kind, call.account, call.region, name)


def _all(call: Any, scope: str) -> list[Record]:
    found = call.store.list(POLICY.kind, call.account, call.region, order_by="name")
    return [one for one in found if (one.spec.get("resourceArn") is not None) == (scope == "RESOURCE")]


def _check_revision(request: dict[str, Any], there: Record | None) -> None:
    wanted = request.get("expectedRevisionId")
    if wanted is not None and (there is None or str(there.revision) != wanted):
        raise api.error.OperationAbortedException("The expected revision is not the current one.")


def _plain(document: str) -> str:
    """As AWS tells a kept policy: with a version, members in its order, lists of one as the one."""
    read = orjson.loads(document)
    statements = read["Statement"] if isinstance(read["Statement"], list) else [read["Statement"]]
    told = [{name: _single(one[name]) for name in (*_ORDER, *sorted(set(one) - set(_ORDER))) if name in one} for one in statements]
    return orjson.dumps(
        {"Version": read.get("Version", "2008-10-17"), **({"Id": read["Id"]} if "Id" in read else {}), "Statement": told}
    ).decode()


_ORDER = ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")


def _single(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _single(inner) for key, inner in value.items()}
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _describe(one: Record) -> dict[str, Any]:
    said = {"policyDocument": one.spec["document"], "lastUpdatedTime": one.spec["changed"]}
    if one.spec.get("resourceArn") is None:
        return {"policyName": one.name, **said, "policyScope": "ACCOUNT"}
    return {**said, "policyScope": "RESOURCE", "resourceArn": one.spec.get("resourceArn"), "revisionId": str(one.revision)}
