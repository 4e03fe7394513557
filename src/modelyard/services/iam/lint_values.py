"""Values that a policy compares and never finds: what IAM takes without a word. Part of `modelyard policy lint`."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from modelyard.services.iam import reference
from modelyard.services.iam.document import as_list

ERROR, WARNING = "error", "warning"
Found = Iterator[tuple[str, str, str]]
_ADDRESSES = ("aws:sourceip", "aws:vpcsourceip")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_SIGNS = ("*", "?", "$")
"""`${*}` and its like are these signs themselves."""
_OPERATOR = re.compile(r"^(?:ForAnyValue:|ForAllValues:)?(.*?)(?:IfExists)?$", re.IGNORECASE)


def faults(statement: Mapping[str, Any], variables: bool) -> Found:
    """`variables`: the document's version knows them."""
    yield from _accounts(statement)
    for operator, key, value in _asked(statement):
        yield from _value(operator, key, value)
    for text in (*_texts(statement, "Resource"), *_texts(statement, "NotResource"), *(value for _, _, value in _asked(statement))):
        yield from _variables(text, variables)


def _asked(statement: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (operator, key, _text(value))
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
        for value in as_list(values)
    ]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _texts(statement: Mapping[str, Any], member: str) -> list[str]:
    return [text for text in as_list(statement.get(member, [])) if isinstance(text, str)]


def _value(written: str, key: str, value: str) -> Found:
    found = _OPERATOR.fullmatch(written)
    operator = found[1].lower() if found is not None else ""
    if "${" in value:
        return
    if key.lower() in _ADDRESSES and operator.startswith("string"):
        level = ERROR if re.search(r"[/*?]", value) else WARNING
        yield level, "wrong-operator", f"{key} is an address: {written} compares {value} as text. Is IpAddress meant?"
    elif operator in ("ipaddress", "notipaddress") and not _is_network(value):
        yield ERROR, "bad-value", f"{key}: {value} is no address or range (203.0.113.0/24)."
    elif operator in ("bool", "null") and value.lower() not in ("true", "false"):
        yield ERROR, "bad-value", f'{key}: {written} asks for "true" or "false", not {value}.'
    elif operator.startswith("numeric") and not re.fullmatch(r"-?\d+(\.\d+)?", value):
        yield ERROR, "bad-value", f"{key}: {value} is no number."
    elif operator.startswith("arn") and value != "*" and not re.fullmatch(r"(arn|\*):.*", value):
        yield ERROR, "bad-value", f"{key}: {value} is no ARN, so {written} never finds it."
    elif operator.startswith("string") and not operator.endswith("like") and re.search(r"[*?]", value):
        like = "StringNotLike" if "not" in operator else "StringLike"
        yield WARNING, "wildcard-is-text", f"{key}: in this operator {value} is plain text, its * and ? too. Is {like} meant?"


def _is_network(value: str) -> bool:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return True


def _variables(text: str, known: bool) -> Found:
    for found in _VARIABLE.findall(text):
        name = found.partition(",")[0].strip()
        if name in _SIGNS:
            continue
        if not known:
            yield WARNING, "variable-is-text", f'${{{found}}} is plain text in this version. Write "Version": "2012-10-17".'
        elif not _is_key(name.lower()):
            near = difflib.get_close_matches(name.lower(), reference.GLOBAL_KEYS, 1)
            yield WARNING, "unknown-variable", f"${{{found}}}: there is no such key." + (f" Is {near[0]} meant?" if near else "")


def _is_key(name: str) -> bool:
    if name in reference.GLOBAL_KEYS or name.startswith(reference.GLOBAL_TAGS):
        return True
    prefix = name.partition(":")[0]
    if prefix == "aws":
        return False
    vendor = reference.vendor(prefix)
    return vendor is None or reference.knows(vendor.keys, name)  # of an identity provider, or the service's own


def _accounts(statement: Mapping[str, Any]) -> Found:
    for resource in (*_texts(statement, "Resource"), *_texts(statement, "NotResource")):
        parts = resource.split(":", 5)
        account = parts[4] if len(parts) == 6 else ""
        if account and account != "aws" and not re.search(r"[*?$]", account) and not re.fullmatch(r"\d{12}", account):
            yield ERROR, "bad-account", f"{resource}: {account} is no account, which has 12 digits."
