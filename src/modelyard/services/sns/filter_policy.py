"""Filter policies: whether a message is for a subscription. Pure.

Source: "Amazon SNS message filtering" in the developer guide. A policy is a tree of keys; a leaf is a list of conditions, one of
which must hold for one of the values that the message has there. Keys are joined by AND, the items of `$or` by OR. Message
attributes are a flat tree; the body of a message is a tree in which lists stand for any of their items.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping
from typing import Any

import orjson

OR = "$or"


def matches(policy: Mapping[str, Any], scope: str, attributes: Mapping[str, Any], body: str) -> bool:
    """`scope` is MessageAttributes or MessageBody; `attributes` are those of the message ({"DataType", "StringValue"})."""
    if scope == "MessageBody":
        try:
            tree = orjson.loads(body)
        except ValueError:
            return False
        return isinstance(tree, dict) and holds(policy, [tree])
    if policy and not attributes:
        return False  # not even `exists: false` holds for a message without attributes
    return holds(policy, [{name: _attribute(value) for name, value in attributes.items() if not value["DataType"].startswith("Binary")}])


def holds(policy: Mapping[str, Any], places: list[Any]) -> bool:
    """Whether the policy holds where the message has these objects (none: the message lacks the key above)."""
    for key, wanted in policy.items():
        if key == OR and is_or(wanted):
            if not any(holds(one, places) for one in wanted):
                return False
            continue
        found = [item for place in places if isinstance(place, dict) and key in place for item in _items(place[key])]
        if isinstance(wanted, Mapping):
            if not holds(wanted, found):
                return False
        elif not _leaf(wanted, found, any(isinstance(place, dict) and _is_leaf(place.get(key, {})) for place in places)):
            return False
    return True


def is_or(wanted: Any) -> bool:
    """`$or` is a list of at least two objects; anything else is a key of this name."""
    return (
        isinstance(wanted, list)
        and len(wanted) >= 2
        and all(isinstance(one, Mapping) and one and not set(one) <= set(OPERATORS) for one in wanted)
    )


def _attribute(value: Mapping[str, Any]) -> Any:
    """A value as JSON: text, a number, or the items of a String.Array."""
    kind, text = value["DataType"], value["StringValue"]
    try:
        if kind.startswith("Number"):
            return json.loads(text)
        if kind == "String.Array":
            return json.loads(text)
    except ValueError:
        return text
    return text


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return [value]
    return [item for one in value for item in _items(one)]


def _is_leaf(value: Any) -> bool:
    """`exists` knows leaves only: a key that leads to objects is not there."""
    items = value if isinstance(value, list) else [value]
    return not items or not all(isinstance(item, dict) for item in items)


def _leaf(conditions: list[Any], values: list[Any], there: bool) -> bool:
    for condition in conditions:
        if isinstance(condition, Mapping) and "exists" in condition:
            filled = there and any(not isinstance(value, dict) and value not in (None, "") for value in values)
            if filled if condition["exists"] else not there:
                return True
        elif any(holds_for(condition, value) for value in values if not isinstance(value, dict)):
            return True
    return False


def holds_for(condition: Any, value: Any) -> bool:
    if not isinstance(condition, Mapping):
        return equal(condition, value)
    ((operator, operand),) = condition.items()
    return OPERATORS[operator](operand, value)


def equal(one: Any, other: Any) -> bool:
    """JSON's equality: numbers by value, and true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, (int, float)) and isinstance(other, (int, float)):
        return one == other
    return type(one) is type(other) and one == other


def _anything_but(operand: Any, value: Any) -> bool:
    if isinstance(operand, Mapping):
        ((operator, texts),) = operand.items()
        return isinstance(value, str) and not any(OPERATORS[operator](text, value) for text in _items(texts))
    return not any(equal(one, value) for one in _items(operand))


def _numeric(operand: list[Any], value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return all(COMPARE[sign](value, bound) for sign, bound in zip(operand[::2], operand[1::2], strict=True))


def _cidr(operand: str, value: Any) -> bool:
    try:
        return isinstance(value, str) and ipaddress.ip_address(value) in ipaddress.ip_network(operand, strict=False)
    except ValueError:
        return False


COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "prefix": lambda text, value: isinstance(value, str) and value.startswith(text),
    "suffix": lambda text, value: isinstance(value, str) and value.endswith(text),
    "equals-ignore-case": lambda text, value: isinstance(value, str) and value.casefold() == text.casefold(),
    "anything-but": _anything_but,
    "numeric": _numeric,
    "cidr": _cidr,
    "exists": lambda wanted, value: wanted,
}
