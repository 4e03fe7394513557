"""The evaluation of policies, written slowly and obviously after IAM's documentation. Shares no code with the product.

A request is a dict: `caller` (kind, account, arn, role_arn, user_arn), `action`, `resource`, `owner` (account of the resource), `context` (key → text or
list of texts), and documents `identity`, `boundary`, `session` and `resource_policy` (the last three may be None).
"""

from __future__ import annotations

import base64
import ipaddress
from datetime import UTC, datetime
from typing import Any

Request = dict[str, Any]


def allowed(r: Request) -> bool:
    caller = r["caller"]
    at_home = r["owner"] == caller["account"]
    own_documents = [d for d in (r["identity"], r["boundary"], r["session"]) if d is not None]
    if any("Deny" in effects(document, r) for document in own_documents) or "Deny" in of_resource(r).values():
        return False
    within = all("Allow" in effects(limit, r) for limit in (r["boundary"], r["session"]) if limit is not None)
    by_identity = within and (caller["kind"] == "root" or "Allow" in effects(r["identity"], r))
    how = {level for (_, level), effect in of_resource(r).items() if effect == "Allow"}
    if caller["kind"] == "anonymous":
        return "self" in how
    if not at_home:
        return bool(how) and by_identity
    return by_identity or "self" in how or ("entity" in how and within)


def effects(document: Any, r: Request) -> set[str]:
    return {s["Effect"] for s in document["Statement"] if speaks(s, document, r)}


def of_resource(r: Request) -> dict[tuple[int, str], str]:
    """(number of the statement, how it names the caller) → its effect, of those that speak of the request."""
    document = r["resource_policy"] or {"Statement": []}
    found = {}
    for number, s in enumerate(document["Statement"]):
        if not speaks(s, document, r):
            continue
        if "Principal" in s:
            level = named(s["Principal"], r["caller"])
        else:
            level = "self" if named(s["NotPrincipal"], r["caller"]) in ("", "account") else ""
        if level:
            found[number, level] = s["Effect"]
    return found


def named(element: Any, caller: dict[str, str]) -> str:
    """ "self": the caller as it is, or everyone; "entity": the role or user behind a session; "account"; or ""."""
    names = ["*"] if element == "*" else as_list(element["AWS"])
    if "*" in names:
        return "self"
    if caller["kind"] == "anonymous":
        return ""
    if caller["arn"] in names:
        return "self"
    if caller.get("role_arn") in names or caller.get("user_arn") in names:
        return "entity"
    if caller["account"] in names or f"arn:aws:iam::{caller['account']}:root" in names:
        return "self" if caller["kind"] == "root" else "account"
    return ""


def speaks(s: dict[str, Any], document: dict[str, Any], r: Request) -> bool:
    new = document.get("Version") == "2012-10-17"
    action = r["action"].lower()
    if "Action" in s:
        if not any(like(action, signs(p.lower())) for p in as_list(s["Action"])):
            return False
    elif any(like(action, signs(p.lower())) for p in as_list(s["NotAction"])):
        return False
    patterns = [filled(p, r["context"], new) for p in as_list(s.get("Resource", s.get("NotResource")))]
    hit = any(p is not None and like(r["resource"], p) for p in patterns)
    if hit is not ("Resource" in s):
        return False
    return all(
        condition(operator, key, as_list(values), r["context"], new)
        for operator, keys in s.get("Condition", {}).items()
        for key, values in keys.items()
    )


# --- conditions ------------------------------------------------------------------------------------------


def condition(operator: str, key: str, wanted: list[str], context: dict[str, Any], new: bool) -> bool:
    have = [str(value) for value in as_list(context[key])] if key in context else []
    if operator == "Null":
        return ("true" if not have else "false") in wanted
    qualifier, _, name = operator.rpartition(":")
    relaxed = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    negated = "Not" in name
    name = name.replace("Not", "")
    if qualifier and have == [""]:
        have = []  # "a null data set, such as an empty string"
    if not have:
        return relaxed or qualifier == "ForAllValues" or (negated and qualifier == "")
    each = [any(compare(name, value, want, context, new) for want in wanted) is not negated for value in have]
    if qualifier == "ForAnyValue":
        return any(each)
    if qualifier == "ForAllValues" or negated:
        return all(each)
    return any(each)


def compare(name: str, have: str, want: str, context: dict[str, Any], new: bool) -> bool:
    if name in ("StringLike", "ArnLike", "ArnEquals"):
        pattern = filled(want, context, new)
        if pattern is None:
            return False
        if name == "StringLike":
            return like(have, pattern)
        left, right = have.split(":", 5), split(pattern)
        return len(left) == 6 and len(right) == 6 and all(like(part, p) for part, p in zip(left, right, strict=True))
    if name.startswith("String") or name == "Bool":
        pattern = filled(want, context, new)
        if pattern is None:
            return False
        text = "".join(sign for sign, _ in pattern)
        return have == text if name == "StringEquals" else have.lower() == text.lower()
    if name == "BinaryEquals":
        return base64.b64decode(have) == base64.b64decode(want)
    if name == "IpAddress":
        return ipaddress.ip_address(have) in ipaddress.ip_network(want)
    read = moment if name.startswith("Date") else float
    left, right = read(have), read(want)
    kind = name.removeprefix("Date").removeprefix("Numeric")
    return {
        "Equals": left == right,
        "LessThan": left < right,
        "LessThanEquals": left <= right,
        "GreaterThan": left > right,
        "GreaterThanEquals": left >= right,
    }[kind]


def moment(text: str) -> float:
    if text.isdigit():
        return float(text)
    date, _, time = text.upper().removesuffix("Z").partition("T")
    year, month, day = [int(part) for part in date.split("-")] + ([1] if date.count("-") == 1 else [])
    hour, minute, second = ([int(part) for part in time.split(":") if part] + [0, 0, 0])[:3]
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()


# --- texts: lists of (sign, whether it is a wildcard) ------------------------------------------------------


def signs(text: str) -> list[tuple[str, bool]]:
    return [(sign, sign in "*?") for sign in text]


def filled(text: str, context: dict[str, Any], new: bool) -> list[tuple[str, bool]] | None:
    """The text with its variables replaced, whose values have no wildcards; None where one has no value. An ARN that ends early goes on."""
    found: list[tuple[str, bool]] = []
    while text:
        if not (new and text.startswith("${")):
            found += signs(text[0])
            text = text[1:]
            continue
        body, _, text = text[2:].partition("}")
        name, comma, default = body.partition(", ")
        values = as_list(context[name]) if name in context else []
        if body in ("*", "?", "$"):
            value = body
        elif len(values) == 1:
            value = str(values[0])
        elif comma:
            value = default.strip("'")
        else:
            return None
        found += [(sign, False) for sign in value]
    return found


def split(pattern: list[tuple[str, bool]]) -> list[list[tuple[str, bool]]]:
    parts: list[list[tuple[str, bool]]] = [[]]
    for sign in pattern:
        if sign[0] == ":" and len(parts) < 6:
            parts.append([])
        else:
            parts[-1].append(sign)
    return parts


def like(text: str, pattern: list[tuple[str, bool]]) -> bool:
    if not pattern:
        return not text
    (sign, wild), rest = pattern[0], pattern[1:]
    if wild and sign == "*":
        return any(like(text[i:], rest) for i in range(len(text) + 1))
    return bool(text) and (wild or text[0] == sign) and like(text[1:], rest)


def as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
