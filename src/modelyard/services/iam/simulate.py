"""The policy simulator: the evaluation engine over given actions and resources, without doing anything.

Source: API reference of SimulatePrincipalPolicy and SimulateCustomPolicy. One result per action and resource.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Principal
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api, names
from modelyard.services.iam.context import Context
from modelyard.services.iam.directory import Directory
from modelyard.services.iam.document import PolicySet, Statement, compile_policy
from modelyard.services.iam.evaluate import BOUNDARY, RESOURCE, SESSION, Policies, Verdict, evaluate
from modelyard.services.iam.membership import groups_of
from modelyard.services.iam.pages import page
from modelyard.services.iam.positions import statement_positions
from modelyard.services.iam.request_context import of_principal
from modelyard.services.iam.validate import identity_policy

MAX_RESULTS = 100
# The simulator knows the caller; what a statement asks of transport and time it must be told (ContextEntries).
_IMPLIED = ("aws:principal", "aws:userid", "aws:username")


@dataclass
class Sources:
    """The policies under test: name in answers → text. `statements` are those of all of them."""

    texts: dict[str, str] = field(default_factory=dict)
    statements: list[Statement] = field(default_factory=list)

    def add(self, name: str, text: str) -> None:
        self.texts[name] = text
        self.statements += compile_policy(text, name)


@api.operation
def simulate_principal_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = find_entity(call, request["PolicySourceArn"])
    directory: Directory = call.platform.identity.directory
    sources = entity_sources(call, directory, record)
    for number, text in enumerate(request.get("PolicyInputList", []), 1):
        identity_policy(text)
        sources.add(f"PolicyInputList.{number}", text)
    boundary = request.get("PermissionsBoundaryPolicyInputList")
    own = record.spec.get("PermissionsBoundary")
    if not boundary and own:
        boundary = [directory.managed_document(call.account, own) or "{}"]
    return _simulate(call, request, sources, boundary, _principal_of(record))


@api.operation
def simulate_custom_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    sources = Sources()
    for number, text in enumerate(request["PolicyInputList"], 1):
        identity_policy(text)
        sources.add(f"PolicyInputList.{number}", text)
    caller = Principal("user", call.account, request.get("CallerArn") or f"arn:aws:iam::{call.account}:user/simulated", "AIDASIMULATED")
    return _simulate(call, request, sources, request.get("PermissionsBoundaryPolicyInputList"), caller)


@api.operation
def get_context_keys_for_custom_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    statements = [s for text in request["PolicyInputList"] for s in compile_policy(_valid(text), "input")]
    return {"ContextKeyNames": _keys(statements)}


@api.operation
def get_context_keys_for_principal_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    sources = entity_sources(call, call.platform.identity.directory, find_entity(call, request["PolicySourceArn"]))
    more = [s for text in request.get("PolicyInputList", []) for s in compile_policy(_valid(text), "input")]
    return {"ContextKeyNames": _keys([*sources.statements, *more])}


def entity_sources(call: Call, directory: Directory, record: Record) -> Sources:
    """Inline policies (`role_R_P`), attached ones by name, and those of a user's groups."""
    sources = Sources()
    what = record.kind.removeprefix("iam-")
    for name, text in sorted(record.spec["Inline"].items()):
        sources.add(f"{what}_{record.name}_{name}", text)
    for arn in record.spec["Attached"]:
        text = directory.managed_document(record.account, arn)
        if text:
            sources.add(arn.rsplit("/", 1)[-1], text)
    for group in groups_of(call.store, record):
        inner = entity_sources(call, directory, group)
        sources.texts.update(inner.texts)
        sources.statements += inner.statements
    return sources


def _simulate(call: Call, request: dict[str, Any], sources: Sources, boundary: list[str] | None, caller: Principal) -> dict[str, Any]:
    limit = PolicySet(tuple(s for text in boundary for s in compile_policy(text, "boundary"))) if boundary else None
    policies = Policies(PolicySet(tuple(sources.statements)), limit)
    given = _context_entries(request)
    context = Context(of_principal(caller, {}), given)
    resource_policy = PolicySet(compile_policy(request["ResourcePolicy"], "ResourcePolicy")) if request.get("ResourcePolicy") else None
    owner = request["ResourceOwner"].split(":")[4] if request.get("ResourceOwner") else None
    results = []
    for number, (action, resource) in enumerate((a, r) for a in request["ActionNames"] for r in request.get("ResourceArns") or ["*"]):
        if ":" not in action and action != "*":
            raise api.error.InvalidInputException(f"Invalid Action name: {action}")
        verdict = evaluate(caller, policies, action, resource, context, resource_policy, owner)
        result = _result(action, resource, verdict, sources, policies, context, given)
        results.append((f"{number:06d}", result))
    shown, more = page(results, request, lambda item: item[0], MAX_RESULTS)
    return {"EvaluationResults": [result for _, result in shown], **more}


def _result(
    action: str, resource: str, verdict: Verdict, sources: Sources, policies: Policies, context: Context, given: Mapping[str, Any]
) -> dict[str, Any]:
    decision = "allowed" if verdict.allowed else "explicitDeny" if verdict.explicit else "implicitDeny"
    denying, allowing = policies.identity.for_action(action.lower())
    wanted = denying if verdict.explicit else allowing
    matched = [s for s in wanted if s.for_resource(resource, context) and s.for_conditions(context)]
    asked = {key for s in (*denying, *allowing) for key in s.keys if not key.startswith(_IMPLIED)}
    result = {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": decision,
        "MatchedStatements": [_matched(s, sources) for s in matched],
        "MissingContextValues": sorted(asked - {key.lower() for key in given}),
    }
    if policies.boundary is not None:
        result["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": verdict.kind != BOUNDARY}
    if verdict.kind in (RESOURCE, SESSION) and verdict.statement is not None:
        result["MatchedStatements"].append({"SourcePolicyId": "ResourcePolicy", "SourcePolicyType": "Resource Policy"})
    return result


def _matched(statement: Statement, sources: Sources) -> dict[str, Any]:
    start, end = statement_positions(sources.texts[statement.policy])[statement.number - 1]
    return {"SourcePolicyId": statement.policy, "SourcePolicyType": "IAM Policy", "StartPosition": start, "EndPosition": end}


def _context_entries(request: dict[str, Any]) -> dict[str, Any]:
    return {
        entry["ContextKeyName"]: entry.get("ContextKeyValues", [])
        for entry in request.get("ContextEntries", [])
        if "ContextKeyName" in entry
    }


def find_entity(call: Call, arn: str) -> Record:
    """The role, user or group of an ARN of the caller's account."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[2] != "iam":
        raise api.error.InvalidInputException(f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    word, _, rest = parts[5].partition("/")
    kind = {"role": names.ROLE, "user": names.USER, "group": names.GROUP}.get(word)
    if kind is None or not rest:
        raise api.error.InvalidInputException(f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    name = rest.rsplit("/", 1)[-1]
    record = call.store.get(kind.kind, call.account, names.GLOBAL, name)
    if record is None or record.arn != arn:
        raise api.error.NoSuchEntityException(f"The {word} with name {name} cannot be found.")
    return record


def _principal_of(record: Record) -> Principal:
    if record.kind == names.ROLE.kind:
        session = names.session_arn(record.account, record.name, "simulated")
        return Principal("role", record.account, session, f"{record.spec['RoleId']}:simulated", role_arn=record.arn)
    return Principal("user", record.account, record.arn, record.spec.get("UserId", record.name))


def _valid(text: str) -> str:
    try:
        identity_policy(text)
    except ApiError as problem:
        raise api.error.InvalidInputException(problem.message)
    return text


def _keys(statements: list[Statement]) -> list[str]:
    return sorted({key for statement in statements for key in statement.keys})
