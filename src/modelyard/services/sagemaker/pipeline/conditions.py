"""Conditions of a Condition step (pure): what is well-formed, and what holds once all references are filled in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelyard.services.sagemaker.pipeline.definition import BadDefinition

ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "GreaterThan": lambda left, right: left > right,
    "GreaterThanOrEqualTo": lambda left, right: left >= right,
    "LessThan": lambda left, right: left < right,
    "LessThanOrEqualTo": lambda left, right: left <= right,
}
MEMBERS = {
    **dict.fromkeys(("Equals", *ORDERED), ("LeftValue", "RightValue")),
    "In": ("QueryValue", "Values"),
    "Not": ("Condition",),
    "Or": ("Conditions",),
    "And": ("Conditions",),
}


class NotComparable(ValueError):
    """Values that have no order."""


def check(arguments: Mapping[str, Any]) -> None:
    """The arguments of a step. Raises BadDefinition."""
    for member in arguments:
        if member not in ("Conditions", "IfSteps", "ElseSteps"):
            raise BadDefinition(f"Cannot parse object, unknown property '{member}'.")
    given = arguments.get("Conditions")
    if not isinstance(given, list):
        raise BadDefinition("Expecting start of Json Array.")
    for condition in given:
        _check(condition)


def _check(condition: Any) -> None:
    if not isinstance(condition, dict):
        raise BadDefinition("Expecting start of Json Object.")
    kind = condition.get("Type")
    if kind not in MEMBERS:
        raise BadDefinition(f"Unknown condition type '{kind}'; it is one of {', '.join(MEMBERS)}.")
    for member in condition:
        if member != "Type" and member not in MEMBERS[kind]:
            raise BadDefinition(f"Cannot parse object, unknown property '{member}'.")
    for member in MEMBERS[kind]:
        if member not in condition:
            raise BadDefinition(f"A condition of type {kind} needs {member}.")
    if kind == "Not":
        _check(condition["Condition"])
    elif kind in ("Or", "And"):
        for one in _list(condition["Conditions"]):
            _check(one)
    elif kind == "In":
        _list(condition["Values"])


def all_hold(conditions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all of them hold; their references are filled in. Raises NotComparable."""
    return all(_holds(condition) for condition in conditions)


def _holds(condition: Mapping[str, Any]) -> bool:
    kind = condition["Type"]
    if kind == "Not":
        return not _holds(condition["Condition"])
    if kind == "Or":
        return any(_holds(one) for one in condition["Conditions"])
    if kind == "And":
        return all_hold(condition["Conditions"])
    if kind == "In":
        return any(_equal(condition["QueryValue"], value) for value in condition["Values"])
    left, right = condition["LeftValue"], condition["RightValue"]
    if kind == "Equals":
        return _equal(left, right)
    numbers = _number(left), _number(right)
    if None not in numbers:
        return ORDERED[kind](*numbers)
    if isinstance(left, str) and isinstance(right, str):
        return ORDERED[kind](left, right)
    raise NotComparable(f"the values {left!r} and {right!r} cannot be compared by {kind}")


def _equal(left: Any, right: Any) -> bool:
    """Numbers by value; truth also as its text: parameters and outcomes arrive as texts."""
    if isinstance(left, bool) or isinstance(right, bool):
        return str(left).lower() == str(right).lower()
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    numbers = _number(left), _number(right)
    return numbers[0] == numbers[1] if None not in numbers else left == right


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BadDefinition("Expecting start of Json Array.")
    return value
