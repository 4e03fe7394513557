"""Policy documents compiled for evaluation: parsed once, cached by their text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from os.path import commonprefix
from typing import Any

import orjson

from modelyard.kernel.identity import Principal
from modelyard.services.iam.conditions import Test, compile_conditions
from modelyard.services.iam.context import Context, as_values
from modelyard.services.iam.patterns import glob, glob_with, has_variables, literal_start, variable_names
from modelyard.services.iam.principals import matches


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """One compiled statement. `policy` is the policy's name for messages, `number` counts from 1.

    `resources` are patterns without variables, `resource_templates` those with (what they begin with, whole); `not_resource` says that they are NotResource.
    `keys` are the condition keys (lower case) that conditions and variables read, `spelled` says how the document writes them.
    """

    policy: str
    number: int
    sid: str
    allow: bool
    actions: tuple[str, ...]
    not_actions: tuple[str, ...]
    resources: tuple[Any, ...]
    resource_templates: tuple[tuple[str, str], ...]
    not_resource: bool
    any_resource: bool
    conditions: tuple[Test, ...]
    keys: frozenset[str]
    spelled: Mapping[str, str]
    principal: Any
    not_principal: Any
    asks: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    """Of each of `conditions`, in words: operator, key, values."""
    about: tuple[str, ...] = ()
    """Its Resource (or NotResource) as it is written."""
    start: str = ""
    """What every resource that it is about begins with: most statements are told apart by it."""

    def for_action(self, action: str) -> bool:
        """`action` in lower case."""
        if self.not_actions:
            return not any(glob(pattern)(action) for pattern in self.not_actions)
        return any(glob(pattern)(action) for pattern in self.actions)

    def for_resource(self, resource: str, context: Context) -> bool:
        if self.any_resource:
            return True
        for pattern in self.resources:
            if pattern(resource):
                return not self.not_resource
        for start, template in self.resource_templates:
            if resource.startswith(start) and (filled := glob_with(template, context)) is not None and filled(resource):
                return not self.not_resource
        return self.not_resource

    def for_conditions(self, context: Context) -> bool:
        return all(test(context) for test in self.conditions)

    def for_principal(self, principal: Principal) -> str | None:
        """How directly it names the caller (see principals.py); statements without Principal name nobody."""
        if self.not_principal is not None:
            return None if matches(self.not_principal, principal) not in (None, "account") else "direct"
        return matches(self.principal, principal) if self.principal is not None else None

    @property
    def label(self) -> str:
        name = f'"{self.sid}"' if self.sid else f"number {self.number}"
        return f"statement {name} of {self.policy}"


class PolicySet:
    """The statements of several policies together, indexed by action as they are asked for."""

    __slots__ = ("_by_action", "statements", "text")

    def __init__(self, statements: tuple[Statement, ...], text: str = "") -> None:
        self.statements, self.text = statements, text
        self._by_action: dict[str, tuple[tuple[Statement, ...], tuple[Statement, ...]]] = {}

    def for_action(self, action: str) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
        """(denying, allowing) statements that speak of the lower-case action."""
        found = self._by_action.get(action)
        if found is None:
            speaking = [statement for statement in self.statements if statement.for_action(action)]
            found = tuple(s for s in speaking if not s.allow), tuple(s for s in speaking if s.allow)
            if len(self._by_action) < 4096:
                self._by_action[action] = found
        return found


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def parse(document: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    return orjson.loads(document) if isinstance(document, (str, bytes)) else document


def compile_policy(document: str | Mapping[str, Any], name: str) -> tuple[Statement, ...]:
    """The statements of a (valid) document; `name` is how messages call the policy."""
    text = document if isinstance(document, str) else orjson.dumps(dict(document)).decode()
    return _compile(text, name)


def compile_set(document: str | Mapping[str, Any], name: str) -> PolicySet:
    """The same as a set of its own, kept by its text: resource policies are asked again and again."""
    return _compile_set(document if isinstance(document, str) else orjson.dumps(dict(document)).decode(), name)


@lru_cache(maxsize=1024)
def _compile_set(text: str, name: str) -> PolicySet:
    return PolicySet(_compile(text, name), text)


@lru_cache(maxsize=4096)
def _compile(text: str, name: str) -> tuple[Statement, ...]:
    document = orjson.loads(text)
    variables = document.get("Version") == "2012-10-17"
    return tuple(_statement(s, name, i + 1, variables) for i, s in enumerate(as_list(document.get("Statement", []))))


def _statement(raw: Mapping[str, Any], policy: str, number: int, variables: bool) -> Statement:
    not_resource = "NotResource" in raw
    patterns = [p for p in as_list(raw["NotResource"] if not_resource else raw.get("Resource", "*")) if p is not None]
    patterns = [
        f"{p}:*" if p.startswith("arn:") and p.count(":") < 5 and not has_variables(p) else p for p in patterns
    ]  # parts that lack are any
    templates = [p for p in patterns if variables and has_variables(p)]
    spelled = _keys(raw, patterns, variables)
    return Statement(
        policy=policy,
        number=number,
        sid=raw.get("Sid", ""),
        allow=raw.get("Effect") == "Allow",
        actions=tuple(a.lower() for a in as_list(raw.get("Action", []))),
        not_actions=tuple(a.lower() for a in as_list(raw.get("NotAction", []))),
        resources=tuple(glob(p) for p in patterns if p not in templates),
        resource_templates=tuple((literal_start(p), p) for p in templates),
        not_resource=not_resource,
        any_resource=not not_resource and "*" in patterns,
        conditions=compile_conditions(raw.get("Condition", {}), variables),
        keys=frozenset(spelled),
        spelled=spelled,
        principal=raw.get("Principal"),
        not_principal=raw.get("NotPrincipal"),
        asks=tuple(
            (operator, key, as_values(values)) for operator, keys in raw.get("Condition", {}).items() for key, values in keys.items()
        ),
        about=tuple(p for p in as_list(raw["NotResource"] if not_resource else raw.get("Resource", "*")) if p is not None),
        start="" if not_resource else commonprefix([literal_start(p) for p in patterns]),
    )


def _keys(raw: Mapping[str, Any], resources: list[str], variables: bool) -> dict[str, str]:
    """Condition keys in lower case → as they are written."""
    texts = list(resources)
    found: dict[str, str] = {}
    for keys in raw.get("Condition", {}).values():
        found.update((key.lower(), key) for key in keys)
        texts += [value for values in keys.values() for value in as_list(values) if isinstance(value, str)]
    if variables:
        for name in (name for text in texts for name in variable_names(text)):
            found.setdefault(name.lower(), name)
    return found
