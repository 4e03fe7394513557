"""A step's arguments against the model of their operation: at create (references stand for scalars), and typed before the call.

The texts are AWS's, as people report them: "Unknown Argument member 'X'.", "Expecting start of Json Array.", and for enums
"Model Validation failed: Value 'X' for 'Shape' failed to satisfy enum value set: [A, B]".
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.models import service_model
from modelyard.services.sagemaker.pipeline.definition import BadDefinition
from modelyard.services.sagemaker.pipeline.references import is_function

NUMBERS = {"integer": int, "long": int, "float": float, "double": float}
LEFT_OUT = {"CreateModelPackage": ("ModelPackageName", "ClientToken")}
"""Members of an operation that a step's arguments do not have."""


def check(operation: str, arguments: dict[str, Any]) -> None:
    """Raises BadDefinition."""
    for member in arguments:
        if member in LEFT_OUT.get(operation, ()):
            raise BadDefinition(f"Unknown Argument member '{member}'.")
    _check(arguments, _input_of(operation))


def typed(operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with all references filled in, as a client would send them: texts where the model has texts, numbers where
    it has numbers. What does not fit stays as it is, for the operation's own check."""
    return _typed(arguments, _input_of(operation))


def _input_of(operation: str) -> str:
    return service_model("sagemaker")["operations"][operation]["input"]["shape"]


def _shape(name: str) -> dict[str, Any]:
    return service_model("sagemaker")["shapes"][name]


def _check(value: Any, name: str) -> None:
    if value is None:
        return
    shape = _shape(name)
    kind = shape["type"]
    if kind == "structure":
        if not isinstance(value, dict):
            raise BadDefinition("Expecting start of Json Object.")
        for member, item in value.items():
            if member not in shape["members"]:
                raise BadDefinition(f"Unknown Argument member '{member}'.")
            _check(item, shape["members"][member]["shape"])
    elif kind == "list":
        if not isinstance(value, list):
            raise BadDefinition("Expecting start of Json Array.")
        for item in value:
            _check(item, shape["member"]["shape"])
    elif kind == "map":
        if not isinstance(value, dict):
            raise BadDefinition("Expecting start of Json Object.")
        for item in value.values():
            _check(item, shape["value"]["shape"])
    elif not is_function(value):
        _check_scalar(value, name, shape)


def _check_scalar(value: Any, name: str, shape: dict[str, Any]) -> None:
    kind = shape["type"]
    if isinstance(value, (dict, list)):
        raise BadDefinition(f"Model Validation failed: Expecting a {kind} or a reference for '{name}'.")
    if kind in NUMBERS and not isinstance(_number(value, kind), (int, float)):
        raise BadDefinition(f"Model Validation failed: Value '{value}' for '{name}' is no {kind}.")
    if "enum" in shape and value not in shape["enum"]:
        raise BadDefinition(
            f"Model Validation failed: Value '{value}' for '{name}' failed to satisfy enum value set: [{', '.join(shape['enum'])}]"
        )


def _typed(value: Any, name: str) -> Any:
    shape = _shape(name)
    kind = shape["type"]
    if kind == "structure" and isinstance(value, dict):
        members = shape["members"]
        return {m: _typed(v, members[m]["shape"]) if m in members else v for m, v in value.items() if v is not None}
    if kind == "list" and isinstance(value, list):
        return [_typed(item, shape["member"]["shape"]) for item in value]
    if kind == "map" and isinstance(value, dict):
        return {key: _typed(item, shape["value"]["shape"]) for key, item in value.items()}
    if kind == "string":
        return text_of(value) if not isinstance(value, (dict, list)) else value
    if kind == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return _number(value, kind) if kind in NUMBERS else value


def _number(value: Any, kind: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return value if not isinstance(value, bool) else str(value)
    try:
        number = NUMBERS[kind](value)
    except ValueError:
        return value
    return number if kind in ("float", "double") or float(value) == number else value


def text_of(value: Any) -> str:
    """As AWS puts values into texts: `true`, `3`, `0.5`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
