"""Whether a filter policy is one: checked when it is set, with the limits and (as far as known) the words of AWS."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.services.sns import api
from modelyard.services.sns.filter_policy import COMPARE, OPERATORS, OR, is_or

MOST_KEYS, MOST_COMBINATIONS, LONGEST = 5, 150, 256 << 10


def checked_policy(text: str, scope: str) -> dict[str, Any]:
    """The policy; raises InvalidParameter."""
    if len(text.encode()) > LONGEST:
        raise _wrong("Filter policy is too long")
    try:
        policy = orjson.loads(text)
    except ValueError:
        raise _wrong("failed to parse JSON.") from None
    if not isinstance(policy, dict):
        raise _wrong("Filter policy must be a JSON object")
    keys, combinations = _check(policy, scope, 1)
    if keys > MOST_KEYS:
        raise api.error.FilterPolicyLimitExceededException(f"Filter policy can not have more than {MOST_KEYS} keys")
    if combinations > MOST_COMBINATIONS:
        raise _wrong("Filter policy is too complex")
    return policy


def _check(policy: Mapping[str, Any], scope: str, depth: int) -> tuple[int, int]:
    """(keys, combinations): leaves count by their conditions times their depth, the items of $or add up."""
    keys, combinations = 0, 1
    for key, wanted in policy.items():
        if key == OR and is_or(wanted):
            counted = [_check(one, scope, depth) for one in wanted]
            keys += sum(number for number, _ in counted)
            combinations *= sum(number for _, number in counted)
        elif isinstance(wanted, dict):
            if scope != "MessageBody":
                raise ApiError(
                    "InvalidParameter",
                    "Invalid parameter: Filter policy scope MessageAttributes does not support nested filter policy",
                    400,
                )
            if not wanted:
                raise _wrong(f'"{key}" must not be empty')
            inner = _check(wanted, scope, depth + 1)
            keys, combinations = keys + inner[0], combinations * inner[1]
        elif isinstance(wanted, list):
            if not wanted:
                raise _wrong("Empty arrays are not allowed")
            for condition in wanted:
                _condition(condition)
            keys, combinations = keys + 1, combinations * len(wanted) * depth
        else:
            raise _wrong(f'"{key}" must be an object or an array')
    return keys, combinations


def _condition(condition: Any) -> None:
    if isinstance(condition, list):
        raise _wrong("Match value must be String, number, true, false, or null")
    if not isinstance(condition, dict):
        return
    if len(condition) != 1:
        raise _wrong("Only one key allowed in match expression")
    ((operator, operand),) = condition.items()
    if operator not in OPERATORS:
        raise _wrong(f"Unrecognized match type {operator}")
    _OPERANDS[operator](operator, operand)


def _text(operator: str, operand: Any) -> None:
    if not isinstance(operand, str):
        raise _wrong(f"{operator} match pattern must be a string")


def _exists(operator: str, operand: Any) -> None:
    if not isinstance(operand, bool):
        raise _wrong("exists match pattern must be either true or false.")


def _cidr(operator: str, operand: Any) -> None:
    try:
        ipaddress.ip_network(operand if isinstance(operand, str) else "", strict=False)
    except ValueError:
        raise _wrong("Malformed CIDR, one '/' required") from None


def _anything_but(operator: str, operand: Any) -> None:
    if isinstance(operand, dict):
        if len(operand) != 1 or not set(operand) <= {"prefix", "suffix", "equals-ignore-case"}:
            raise _wrong(f"Unsupported anything-but pattern: {', '.join(operand)}")
        operand = next(iter(operand.values()))
        if not all(isinstance(one, str) and one for one in (operand if isinstance(operand, list) else [operand])):
            raise _wrong("anything-but pattern must be a non-empty string")
        return
    for one in operand if isinstance(operand, list) else [operand]:
        if isinstance(one, (dict, list)) or one is None or isinstance(one, bool):
            raise _wrong("Inside anything but list, only start|null|boolean or number and string is supported.")
    if operand == []:
        raise _wrong("Empty arrays are not allowed")


def _numeric(operator: str, operand: Any) -> None:
    if not isinstance(operand, list) or not operand:
        raise _wrong("Value of numeric must be an array.")
    if len(operand) not in (2, 4):
        raise _wrong(
            "Too many elements in numeric expression" if len(operand) > 4 else "Value of numeric must have an even number of elements"
        )
    for sign, bound in zip(operand[::2], operand[1::2], strict=True):
        if sign not in COMPARE:
            raise _wrong(f"Unrecognized numeric range operator: {sign}")
        if isinstance(bound, bool) or not isinstance(bound, (int, float)):
            raise _wrong(f"Value of {sign} must be numeric")
        if not -1e9 <= bound <= 1e9:
            raise _wrong(f"Value of {sign} must be between -1.0E9 and 1.0E9")
    if len(operand) == 4:
        if operand[0] not in (">", ">=") or operand[2] not in ("<", "<="):
            raise _wrong("Bad numeric range operator: a range is > or >=, then < or <=")
        if operand[1] >= operand[3]:
            raise _wrong("Bottom must be less than top")


_OPERANDS = {
    "prefix": _text,
    "suffix": _text,
    "equals-ignore-case": _text,
    "anything-but": _anything_but,
    "numeric": _numeric,
    "cidr": _cidr,
    "exists": _exists,
}


def _wrong(reason: str) -> ApiError:
    return ApiError("InvalidParameter", f"Invalid parameter: FilterPolicy: {reason}", 400)
