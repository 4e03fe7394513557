"""The policy simulator: the evaluation engine over given actions and resources, without doing anything.

Source: API reference of SimulatePrincipalPolicy and SimulateCustomPolicy. One result per action and resource.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Principal
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api, names
from modelyard.services.iam.conditions import is_of
from modelyard.services.iam.context import Context
from modelyard.services.iam.directory import Directory
from modelyard.services.iam.document import PolicySet, Statement, as_list, compile_policy
from modelyard.services.iam.evaluate import RESOURCE, Policies, Verdict, evaluate, first_match
from modelyard.services.iam.membership import groups_of
from modelyard.services.iam.pages import page
from modelyard.services.iam.positions import statement_positions
from modelyard.services.iam.request_context import of_principal
from modelyard.services.iam.validate import identity_policy

MAX_RESULTS = 100
_ACTION = re.compile(r"\*|[A-Za-z0-9-]+:[A-Za-z0-9*?]+").fullmatch
_ARN = re.compile(r"\*|arn:[^:]+:[^:]*:[^:]*:[^:]*:.+", re.DOTALL).fullmatch
_USER_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:user/.+").fullmatch
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

    def add_inputs(self, member: str, texts: list[str]) -> None:
        for number, text in enumerate(texts, 1):
            self.add(f"{member}.{number}", _valid(text))

    def matched(self, statement: Statement) -> dict[str, Any]:
        start, end = statement_positions(self.texts[statement.policy])[statement.number - 1]
        start["Column"] += 1  # AWS tells the place after the brace, as it does for the end
        kind = "Resource Policy" if statement.policy == "ResourcePolicy" else "IAM Policy"
        return {"SourcePolicyId": statement.policy, "SourcePolicyType": kind, "StartPosition": start, "EndPosition": end}


@dataclass(frozen=True)
class Case:
    """What all results of one simulation share."""

    caller: Principal
    policies: Policies
    context: Context
    given: frozenset[str]
    resource_policy: PolicySet | None
    owner: str | None
    sources: Sources


@api.operation
def simulate_principal_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = find_entity(call, request["PolicySourceArn"])
    directory: Directory = call.platform.identity.directory
    sources = entity_sources(call, directory, record)
    sources.add_inputs("PolicyInputList", request.get("PolicyInputList", []))
    boundary = request.get("PermissionsBoundaryPolicyInputList")
    own = record.spec.get("PermissionsBoundary")
    if not boundary and own:
        boundary = [directory.managed_document(call.account, own) or "{}"]
    caller = _principal_of(find_entity(call, request["CallerArn"])) if request.get("CallerArn") else _principal_of(record)
    return _simulate(call, request, sources, boundary, caller, call.store.tags(record.arn))


@api.operation
def simulate_custom_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    sources = Sources()
    sources.add_inputs("PolicyInputList", request["PolicyInputList"])
    if request.get("ResourcePolicy") and not request.get("CallerArn"):
        raise api.error.InvalidInputException("CallerArn must be specified when a resource policy is included.")
    arn = request.get("CallerArn") or f"arn:aws:iam::{call.account}:user/simulated"
    if not _USER_ARN(arn):
        raise api.error.InvalidInputException(f"Invalid CallerArn: {arn} is not the ARN of an IAM user.")
    caller = Principal("user", arn.split(":")[4] if arn.count(":") >= 5 else call.account, arn, "AIDASIMULATED")
    return _simulate(call, request, sources, request.get("PermissionsBoundaryPolicyInputList"), caller, {})


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


def _simulate(
    call: Call, request: dict[str, Any], sources: Sources, boundary: list[str] | None, caller: Principal, tags: Mapping[str, str]
) -> dict[str, Any]:
    limits, resource, given = Sources(), Sources(), _context_entries(request)
    limits.add_inputs("PermissionsBoundaryPolicyInputList", boundary or [])
    if request.get("ResourcePolicy"):
        resource.add("ResourcePolicy", _json(request["ResourcePolicy"]))
    case = Case(
        caller,
        Policies(PolicySet(tuple(sources.statements)), PolicySet(tuple(limits.statements)) if boundary else None),
        Context(of_principal(caller, tags), given),
        frozenset(key.lower() for key in given),
        PolicySet(tuple(resource.statements)) if resource.texts else None,
        _account(request.get("ResourceOwner")),
        Sources({**sources.texts, **limits.texts, **resource.texts}),
    )
    for arn in request.get("ResourceArns") or []:
        if not _ARN(arn):
            raise api.error.InvalidInputException(f"Invalid Resource ARN: {arn}")
    results = []
    specific = bool(request.get("ResourceArns")) and request["ResourceArns"] != ["*"]
    for number, (action, arn) in enumerate((a, r) for a in request["ActionNames"] for r in request.get("ResourceArns") or ["*"]):
        if not _ACTION(action):
            raise api.error.InvalidInputException(f"Invalid Action name: {action}")
        results.append((f"{number:06d}", _result(case, action, arn, specific)))
    shown, more = page(results, request, lambda item: item[0], MAX_RESULTS)
    return {"EvaluationResults": [result for _, result in shown], **more}


def _result(case: Case, action: str, resource: str, specific: bool) -> dict[str, Any]:
    """The result of one action on one resource; where resources were asked for, they are told of by themselves too."""
    verdict = evaluate(case.caller, case.policies, action, resource, case.context, case.resource_policy, case.owner)
    decision, matched = _decision(verdict), [case.sources.matched(s) for s in _deciding(case, action, resource, verdict)]
    missing = _missing(case, action)
    more: dict[str, Any] = {}
    if case.policies.boundary is not None:
        more["PermissionsBoundaryDecisionDetail"] = {"AllowedByPermissionsBoundary": _within(case, action, resource)}
    if case.owner not in (None, case.caller.account):
        more["EvalDecisionDetails"] = _both_sides(case, action, resource)
    result = {
        "EvalActionName": action,
        "EvalResourceName": resource,
        "EvalDecision": decision,
        "MatchedStatements": matched,
        "MissingContextValues": missing,
        "EvalDecisionDetails": {},
        **more,
    }
    if specific:
        one = {
            "EvalResourceName": resource,
            "EvalResourceDecision": decision,
            "MatchedStatements": matched,
            "MissingContextValues": missing,
        }
        result["ResourceSpecificResults"] = [{**one, **more}]
    return result


def _decision(verdict: Verdict) -> str:
    return "allowed" if verdict.allowed else "explicitDeny" if verdict.explicit else "implicitDeny"


def _speaking(case: Case) -> list[PolicySet]:
    return [policies for policies in (case.policies.identity, case.policies.boundary, case.resource_policy) if policies is not None]


def _deciding(case: Case, action: str, resource: str, verdict: Verdict) -> list[Statement]:
    """The statements that made the decision: every denying one, or every allowing one of the caller's and the resource's policies."""
    found = []
    for policies in _speaking(case):
        if policies is case.policies.boundary and not verdict.explicit:
            continue
        for statement in policies.for_action(action.lower())[0 if verdict.explicit else 1]:
            named = policies is not case.resource_policy or statement.for_principal(case.caller) is not None
            if named and statement.for_resource(resource, case.context) and statement.for_conditions(case.context):
                found.append(statement)
    return found


def _missing(case: Case, action: str) -> list[str]:
    asked: dict[str, str] = {}
    for one in _speaking(case):
        for statement in (s for side in one.for_action(action.lower()) for s in side):
            asked.update(statement.spelled)
    return sorted(spelled for key, spelled in asked.items() if key not in case.given and not key.startswith(_IMPLIED))


def _within(case: Case, action: str, resource: str) -> bool:
    assert case.policies.boundary is not None
    denying, allowing = case.policies.boundary.for_action(action.lower())
    return first_match(denying, resource, case.context) is None and first_match(allowing, resource, case.context) is not None


def _both_sides(case: Case, action: str, resource: str) -> dict[str, str]:
    """What each side of a cross-account request says by itself."""
    mine = evaluate(case.caller, case.policies, action, resource, case.context)
    theirs = evaluate(
        case.caller, Policies(PolicySet(())), action, resource, case.context, case.resource_policy, case.caller.account, must_grant=True
    )
    # Naming the account is enough for this side: whether the caller's own policies say so too is the other side's answer.
    granted = case.resource_policy is not None and not theirs.explicit and theirs.kind != RESOURCE
    return {"IAM Policy": _decision(mine), "Resource Policy": "allowed" if granted else _decision(theirs)}


def _account(owner: str | None) -> str | None:
    return owner.split(":")[4] if owner and owner.count(":") >= 4 else owner


def _context_entries(request: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for entry in request.get("ContextEntries", []):
        if "ContextKeyName" in entry:
            kind, values = entry.get("ContextKeyType", "string").removesuffix("List"), entry.get("ContextKeyValues", [])
            for value in values:
                if not is_of(kind, value):
                    raise api.error.InvalidInputException(
                        f"Invalid value for context key {entry['ContextKeyName']}: {value} is not of type {kind}."
                    )
            found[entry["ContextKeyName"]] = values
    return found


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


def _json(text: str) -> str:
    """A resource policy, as far as it must be one to be evaluated."""
    try:
        return dumped_if_sound(text)
    except ValueError:
        raise api.error.InvalidInputException("Syntax errors in policy.") from None


def dumped_if_sound(text: str) -> str:
    document = orjson.loads(text)
    statements = as_list(document["Statement"]) if isinstance(document, dict) and document.get("Statement") else None
    if not statements or not all(isinstance(s, dict) and ("Principal" in s or "NotPrincipal" in s) for s in statements):
        raise ValueError
    return text


def _valid(text: str) -> str:
    try:
        identity_policy(text)
    except ApiError as problem:
        raise api.error.InvalidInputException(problem.message)
    return text


def _keys(statements: list[Statement]) -> list[str]:
    asked: dict[str, str] = {}
    for statement in statements:
        asked.update(statement.spelled)
    return sorted(asked.values())
