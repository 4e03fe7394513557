"""Condition operators of policies, compiled to tests of a request context.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Set operators". A key that the request
lacks: false, but true for negated operators, for `…IfExists` and for `ForAllValues:`. Several values of one key in
the policy are alternatives (for a negated operator: none of them may match); several keys must all hold.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from modelyard.services.iam.context import Context, as_values
from modelyard.services.iam.patterns import LITERAL, fill, glob, glob_with, has_variables

Test = Callable[[Context], bool]
Compare = Callable[[str, str], bool]  # (value of the request, value of the policy) -> matches


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII).fullmatch


def _number(text: str) -> float | None:
    return float(text) if _NUMBER(text) else None


@lru_cache(maxsize=4096)
def _moment(text: str) -> float | None:
    """ISO 8601 (a year, a month, or an hour without minutes, will do) or epoch seconds."""
    if len(text) == 4 and text.isdecimal():
        text = f"{text}-01-01"
    if (seconds := _number(text)) is not None:
        return seconds
    text = f"{text}-01" if len(text) == 7 and text[4] == "-" else text.upper().replace("Z", "+00:00")
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


@lru_cache(maxsize=4096)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def is_of(kind: str, text: str) -> bool:
    """Whether a text is a value of a type of keys: string, numeric, boolean, ip, binary, date."""
    if kind == "binary":
        return _same_bytes(text, text)
    reads: dict[str, Callable[[str], Any]] = {"numeric": _number, "date": _moment, "ip": _network}
    return reads[kind](text) is not None if kind in reads else kind != "boolean" or text.lower() in ("true", "false")


def _ordered(read: Callable[[str], float | None], holds: Callable[[float, float], bool]) -> Compare:
    def compare(have: str, want: str) -> bool:
        left, right = read(have), read(want)
        return left is not None and right is not None and holds(left, right)

    return compare


def _in_network(have: str, want: str) -> bool:
    network = _network(want)
    try:
        return network is not None and ipaddress.ip_address(have) in network
    except (ValueError, TypeError):
        return False


def _same_bytes(have: str, want: str) -> bool:
    try:
        return base64.b64decode(have, validate=True) == base64.b64decode(want, validate=True)
    except (binascii.Error, ValueError):
        return False


def _arn_like(have: str, want: str) -> bool:
    """Each of the six parts of an ARN is matched by itself."""
    left, right = have.split(":", 5), want.split(":", 5)
    return len(left) == 6 and len(right) == 6 and all(glob(r)(part) for part, r in zip(left, right, strict=True))


_POSITIVE: dict[str, Compare] = {
    "stringequals": lambda have, want: have == want,
    "stringequalsignorecase": lambda have, want: have.casefold() == want.casefold(),
    "stringlike": lambda have, want: glob(want)(have),
    "numericequals": _ordered(_number, lambda a, b: a == b),
    "numericlessthan": _ordered(_number, lambda a, b: a < b),
    "numericlessthanequals": _ordered(_number, lambda a, b: a <= b),
    "numericgreaterthan": _ordered(_number, lambda a, b: a > b),
    "numericgreaterthanequals": _ordered(_number, lambda a, b: a >= b),
    "dateequals": _ordered(_moment, lambda a, b: a == b),
    "datelessthan": _ordered(_moment, lambda a, b: a < b),
    "datelessthanequals": _ordered(_moment, lambda a, b: a <= b),
    "dategreaterthan": _ordered(_moment, lambda a, b: a > b),
    "dategreaterthanequals": _ordered(_moment, lambda a, b: a >= b),
    "bool": lambda have, want: have.lower() == want.lower(),
    "binaryequals": _same_bytes,
    "ipaddress": _in_network,
    "arnequals": _arn_like,
    "arnlike": _arn_like,
}
_NEGATED = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
    "notipaddress": "ipaddress",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
}
_WITH_VARIABLES = ("string", "arn", "bool")


def known(operator: str) -> bool:
    """Whether IAM has this operator (with its set qualifier and IfExists)."""
    name, _, if_exists = _parse(operator)
    return name in _POSITIVE or name in _NEGATED or (name == "null" and not if_exists)


def bare_name(operator: str) -> str:
    """The operator's name in lower case, without qualifier and IfExists."""
    return _parse(operator)[0]


def _parse(operator: str) -> tuple[str, str, bool]:
    """(bare lower-case name, set qualifier or "", IfExists?)"""
    name, qualifier = operator.lower(), ""
    for prefix in ("foranyvalue:", "forallvalues:"):
        if name.startswith(prefix):
            name, qualifier = name[len(prefix) :], prefix[:-1]
    if name.endswith("ifexists"):
        return name[: -len("ifexists")], qualifier, True
    return name, qualifier, False


def compile_conditions(block: Mapping[str, Mapping[str, Any]], variables: bool) -> tuple[Test, ...]:
    """One test per operator and key; all of them must hold. `variables`: the document's version knows them."""
    return tuple(
        _compile(operator, key.lower(), as_values(values), variables) for operator, keys in block.items() for key, values in keys.items()
    )


def _compile(operator: str, key: str, wanted: tuple[str, ...], variables: bool) -> Test:
    name, qualifier, if_exists = _parse(operator)
    if name == "null":
        absent = {value.lower() for value in wanted}
        return lambda context: ("true" if not context.get(key) else "false") in absent
    negated = name in _NEGATED
    positive = _NEGATED.get(name, name)
    variables = variables and positive.startswith(_WITH_VARIABLES) and any(has_variables(value) for value in wanted)
    matches = _matcher(positive, wanted, variables)

    def holds(value: str, context: Context) -> bool:
        return matches(value, context) is not negated

    def test(context: Context) -> bool:
        have = context.get(key)
        if qualifier and have == ("",):
            have = None  # an empty text alone is an empty set
        if qualifier == "forallvalues":
            return all(holds(value, context) for value in have or ())
        if not have:
            return if_exists or (negated and not qualifier)
        if qualifier == "foranyvalue" or not negated:
            return any(holds(value, context) for value in have)
        return all(holds(value, context) for value in have)

    return test


def _matcher(positive: str, wanted: tuple[str, ...], variables: bool) -> Callable[[str, Context], bool]:
    """Whether a value of the request matches one of the policy's values."""
    compare = _POSITIVE[positive]
    if not variables:
        if positive == "stringequals":
            chosen = frozenset(wanted)
            return lambda value, context: value in chosen
        return lambda value, context: any(compare(value, want) for want in wanted)
    if positive == "stringlike":

        def like(value: str, context: Context) -> bool:
            return any(found is not None and found(value) for found in (glob_with(want, context) for want in wanted))

        return like

    if positive.startswith("arn"):

        def arn(value: str, context: Context) -> bool:
            """Wildcards of the policy are wildcards, those in the values of variables are not."""
            have = value.translate(LITERAL)
            return any(want is not None and compare(have, want) for want in (fill(want, context, LITERAL) for want in wanted))

        return arn

    def filled(value: str, context: Context) -> bool:
        return any(want is not None and compare(value, want) for want in (fill(want, context) for want in wanted))

    return filled
