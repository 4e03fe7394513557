"""The parameters of a definition, and the values of an execution (pure). Raises BadParameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TYPES = {"String": str, "Integer": int, "Float": float, "Boolean": bool}


class BadParameter(ValueError):
    """A parameter that is declared or given wrongly."""


def check_declared(declared: Sequence[Mapping[str, Any]]) -> None:
    seen: set[str] = set()
    for one in declared:
        name, kind = one.get("Name"), one.get("Type")
        for member in one:
            if member not in ("Name", "Type", "DefaultValue", "EnumValues"):
                raise BadParameter(f"Cannot parse object, unknown property '{member}'.")
        if not isinstance(name, str) or not name:
            raise BadParameter("A parameter has no Name.")
        if name in seen:
            raise BadParameter(f"Parameter names must be unique. Found duplicate parameter name '{name}'.")
        seen.add(name)
        if kind not in TYPES:
            raise BadParameter(f"Unknown type '{kind}' of parameter '{name}'; it is one of {', '.join(TYPES)}.")
        if one.get("DefaultValue") is not None:
            _value(one, one["DefaultValue"])


def values_of(declared: Sequence[Mapping[str, Any]], given: Mapping[str, str]) -> dict[str, Any]:
    """Each declared parameter with its value, typed; clients send texts whatever the type."""
    names = [one["Name"] for one in declared]
    if unknown := [name for name in given if name not in names]:
        raise BadParameter(f"Unknown pipeline parameters: [{', '.join(unknown)}]. The pipeline declares [{', '.join(names)}].")
    missing = [one["Name"] for one in declared if one["Name"] not in given and one.get("DefaultValue") is None]
    if missing:
        raise BadParameter(f"Missing values for pipeline parameters without a default: [{', '.join(missing)}].")
    if empty := [name for name, value in given.items() if value == ""]:
        raise BadParameter(f'[string "" is too short (length: 0, required minimum: 1)] (the value of {", ".join(empty)})')
    return {one["Name"]: _value(one, given.get(one["Name"], one.get("DefaultValue"))) for one in declared}


def _value(declared: Mapping[str, Any], value: Any) -> Any:
    name, kind = declared["Name"], declared["Type"]
    made = _typed(value, kind)
    if made is None:
        raise BadParameter(f"The value '{value}' of parameter '{name}' is not of its type {kind}.")
    allowed = declared.get("EnumValues")
    if allowed and made not in allowed:
        raise BadParameter(f"The value '{value}' of parameter '{name}' is none of its EnumValues [{', '.join(map(str, allowed))}].")
    return made


def _typed(value: Any, kind: str) -> Any:
    if kind == "String":
        return value if isinstance(value, str) else None
    if kind == "Boolean":
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
        if number != number or abs(number) == float("inf"):
            return None
        return number if kind == "Float" else int(value) if int(value) == number else None
    except ValueError:
        return None
