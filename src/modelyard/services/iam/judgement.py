"""One decision with all that went into it: made again for a denial's text and for `modelyard policy explain`, never on the way of an allowed call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.identity import Principal
from modelyard.services.iam.context import Context
from modelyard.services.iam.document import PolicySet, Statement
from modelyard.services.iam.evaluate import (
    BOUNDARY,
    IDENTITY,
    RESOURCE,
    SESSION,
    Policies,
    Verdict,
    evaluate,
    first_match,
    granted_by_resource,
)
from modelyard.services.iam.principals import ACCOUNT, DIRECT, ROLE

MOST_SHOWN = 200
"""Characters of a condition's values that are shown."""


@dataclass(frozen=True)
class Judgement:
    """`owner` says whose policies they are (`role X`); `account` is the resource's (None: the caller's); `condition` are the keys that the
    operation itself brought (iam:PassedToService)."""

    principal: Principal
    owner: str
    policies: Policies
    action: str
    resource: str
    context: Context
    resource_policy: PolicySet | None = None
    account: str | None = None
    must_grant: bool = False
    condition: Mapping[str, Any] = field(default_factory=dict)
    gone: bool = False
    """The user or role of these credentials is no longer there."""

    def verdict(self) -> Verdict:
        return evaluate(
            self.principal, self.policies, self.action, self.resource, self.context, self.resource_policy, self.account, self.must_grant
        )

    @property
    def own(self) -> bool:
        return self.account is None or self.account == self.principal.account

    def lacking(self) -> list[str]:
        """The kinds of policies that need one more statement, of a call that nothing denies explicitly: all of them, not the first."""
        who = self.principal.kind
        if who in ("anonymous", "service", "federated"):
            return [RESOURCE]
        _, how = granted_by_resource(self.principal, self.action.lower(), self.resource, self.context, self.resource_policy)
        found = []
        if how is None and (self.must_grant or not self.own):
            found.append(RESOURCE)
            how = ROLE if self.principal.role_arn else DIRECT  # what the missing statement will name
        if self.own and how == DIRECT:
            return found
        by_identity = not self.own or how in (None, ACCOUNT)
        if by_identity and who != "root" and not self._allows(self.policies.identity):
            found.append(IDENTITY)
        return found + [kind for kind, limit in self.policies.limits() if not self._allows(limit)]

    def _allows(self, policies: PolicySet) -> bool:
        return first_match(policies.for_action(self.action.lower())[1], self.resource, self.context) is not None

    # --- policy by policy --------------------------------------------------------------------------

    def sets(self) -> list[tuple[str, PolicySet]]:
        every = [
            (IDENTITY, self.policies.identity),
            (BOUNDARY, self.policies.boundary),
            (SESSION, self.policies.session),
            (RESOURCE, self.resource_policy),
        ]
        return [(kind, one) for kind, one in every if one is not None]

    def considered(self) -> list[dict[str, Any]]:
        """Every policy that had a say, with the statements that speak of the action, and whether they hold for this request."""
        found = []
        for kind, policies in self.sets():
            for name in dict.fromkeys(statement.policy for statement in policies.statements):
                speaking = [s for s in policies.statements if s.policy == name and s.for_action(self.action.lower())]
                found.append({"Name": name, "Type": kind, "Statements": [self._statement(kind, s) for s in speaking]})
        return found

    def _statement(self, kind: str, statement: Statement) -> dict[str, Any]:
        why = []
        if kind == RESOURCE and statement.for_principal(self.principal) is None:
            why.append("names other principals")
        if not statement.for_resource(self.resource, self.context):
            why.append("speaks of other resources")
        why += [f"its condition does not hold: {text}" for text in self.unmet(statement)]
        found = {
            "Statement": statement.sid or f"number {statement.number}",
            "Effect": "Allow" if statement.allow else "Deny",
            "Applies": not why,
        }
        return {**found, **({"Why": ", ".join(why)} if why else {})}

    def unmet(self, statement: Statement) -> Iterator[str]:
        """Each condition that does not hold: what it asks for, and what the request had."""
        for test, (operator, key, wanted) in zip(statement.conditions, statement.asks, strict=True):
            if not test(self.context):
                have = self.context.get(key.lower())
                said = "the request has none" if not have else f"the request has {_listed(have)}"
                yield f"{operator} {key} {_listed(wanted)}, {said}"

    def near(self) -> Statement | None:
        """A statement that would allow it, were it not for its conditions. Of another account's resource nothing is told."""
        for kind, policies in self.sets():
            if kind == RESOURCE and not self.own:
                continue
            for one in policies.for_action(self.action.lower())[1]:
                named = kind != RESOURCE or one.for_principal(self.principal) is not None
                if named and one.for_resource(self.resource, self.context) and not one.for_conditions(self.context):
                    return one
        return None

    def elsewhere(self) -> Statement | None:
        """A statement of the caller's own policies, where one is missing, that allows the action on other resources only."""
        lacking = self.lacking()
        for kind, policies in self.sets():
            if kind == RESOURCE or kind not in lacking:
                continue
            for one in policies.for_action(self.action.lower())[1]:
                if not one.not_resource and one.for_conditions(self.context) and not one.for_resource(self.resource, self.context):
                    return one
        return None

    def holding(self, statement: Statement) -> str:
        """The conditions of a statement that applies, and what the request has: "" where it has none."""
        said = []
        for operator, key, wanted in statement.asks:
            have = self.context.get(key.lower())
            said.append(f"{operator} {key} {_listed(wanted)}, the request has {_listed(have) if have else 'none'}")
        return "; ".join(said)


def _listed(values: tuple[str, ...]) -> str:
    text = " or ".join(f'"{value}"' for value in values)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + " …"
