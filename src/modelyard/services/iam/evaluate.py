"""The decision: may this caller do this action on this resource? Pure.

Source: IAM User Guide, "Policy evaluation logic" (request within one account; cross-account requests). In words:
an explicit deny anywhere wins; then, within one account, either the caller's own policies allow it within the
permissions boundary and the session policies, or the resource's policy names the caller and grants it; across
accounts both sides must allow it.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelyard.kernel.identity import Principal
from modelyard.services.iam.context import Context
from modelyard.services.iam.document import PolicySet, Statement
from modelyard.services.iam.principals import ACCOUNT, DIRECT, ROLE

IDENTITY, BOUNDARY, SESSION, RESOURCE = "identity-based policy", "permissions boundary", "session policy", "resource-based policy"
# What the root user of a bucket's account may do whatever the bucket policy says (else a bucket locks everyone out).
_ROOT_MAY = frozenset({"s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy"})

NO_CONTEXT = Context()


@dataclass(frozen=True, slots=True)
class Policies:
    """What applies to a caller. `boundary` and `session` limit the rest; None: there is none."""

    identity: PolicySet
    boundary: PolicySet | None = None
    session: PolicySet | None = None

    def limits(self) -> list[tuple[str, PolicySet]]:
        return [(kind, limit) for kind, limit in ((BOUNDARY, self.boundary), (SESSION, self.session)) if limit is not None]

    def ignore_context(self, action: str, resource: str) -> bool:
        """Whether no statement that speaks of the action and the resource reads a condition key: then these two decide."""
        sets = (self.identity, *(limit for _, limit in self.limits()))
        speaking = (statement for one in sets for side in one.for_action(action.lower()) for statement in side)
        return not any(s.keys and (s.resource_templates or s.for_resource(resource, NO_CONTEXT)) for s in speaking)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`kind` is the type of policy that decided or that lacks an allow. `statement` is the one that decided, or None."""

    allowed: bool
    explicit: bool
    kind: str
    statement: Statement | None = None


def evaluate(
    principal: Principal,
    policies: Policies,
    action: str,
    resource: str,
    context: Context,
    resource_policy: PolicySet | None = None,
    resource_account: str | None = None,
    must_grant: bool = False,
) -> Verdict:
    """`resource_account` None: the caller's own. `must_grant`: the resource's policy must allow it within the account
    too (trust policies of roles, key policies), be it by naming the account."""
    action = action.lower()
    own = resource_account is None or resource_account == principal.account
    denied = _denied(principal, policies, action, resource, context, resource_policy, own)
    if denied is not None:
        return denied
    granted, how = granted_by_resource(principal, action, resource, context, resource_policy)
    if principal.kind in ("anonymous", "service", "federated"):
        return Verdict(granted is not None, False, RESOURCE, granted)
    if (must_grant or not own) and how is None:
        return Verdict(False, False, RESOURCE)
    if own and how == DIRECT:
        return Verdict(True, False, RESOURCE, granted)
    if own and how == ROLE:
        lacking = _lacking_limit(policies, action, resource, context)
        return lacking or Verdict(True, False, RESOURCE, granted)
    return _allowed_by_identity(principal, policies, action, resource, context)


def _denied(
    principal: Principal,
    policies: Policies,
    action: str,
    resource: str,
    context: Context,
    resource_policy: PolicySet | None,
    own: bool,
) -> Verdict | None:
    found = first_match(policies.identity.for_action(action)[0], resource, context)
    if found is not None:
        return Verdict(False, True, IDENTITY, found)
    for kind, limit in policies.limits():
        if found := first_match(limit.for_action(action)[0], resource, context):
            return Verdict(False, True, kind, found)
    if resource_policy is not None and not (own and principal.kind == "root" and action in _ROOT_MAY):
        for statement in resource_policy.for_action(action)[0]:
            if statement.for_principal(principal) and statement.for_resource(resource, context) and statement.for_conditions(context):
                return Verdict(False, True, RESOURCE, statement)
    return None


def granted_by_resource(
    principal: Principal, action: str, resource: str, context: Context, resource_policy: PolicySet | None
) -> tuple[Statement | None, str | None]:
    """The granting statement that names the caller most directly, and how it names it."""
    best: tuple[Statement | None, str | None] = (None, None)
    if resource_policy is None:
        return best
    for statement in resource_policy.for_action(action)[1]:
        how = statement.for_principal(principal)
        if how is None or not statement.for_resource(resource, context) or not statement.for_conditions(context):
            continue
        if how == DIRECT:
            return statement, how
        if best[1] in (None, ACCOUNT):
            best = statement, how
    return best


def _allowed_by_identity(principal: Principal, policies: Policies, action: str, resource: str, context: Context) -> Verdict:
    if principal.kind == "root":
        return _lacking_limit(policies, action, resource, context) or Verdict(True, False, IDENTITY)
    found = first_match(policies.identity.for_action(action)[1], resource, context)
    if found is None:
        return Verdict(False, False, IDENTITY)
    return _lacking_limit(policies, action, resource, context) or Verdict(True, False, IDENTITY, found)


def _lacking_limit(policies: Policies, action: str, resource: str, context: Context) -> Verdict | None:
    """The limit (boundary, session policy) that does not allow it; None: every limit does."""
    for kind, limit in policies.limits():
        if first_match(limit.for_action(action)[1], resource, context) is None:
            return Verdict(False, False, kind)
    return None


def first_match(statements: tuple[Statement, ...], resource: str, context: Context) -> Statement | None:
    for statement in statements:
        if resource.startswith(statement.start) and statement.for_resource(resource, context) and statement.for_conditions(context):
            return statement
    return None
