"""The grammar of policy documents, with the texts IAM answers (MalformedPolicyDocument, 400).

Source: IAM User Guide, "Grammar of the IAM JSON policy language"; texts and their order as the service answers them: syntax of the whole
document, its version, what the old parser checks (effect, dates, ARNs), statement ids, missing elements, ARNs, actions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.services.iam import arn_grammar, service_principals
from modelyard.services.iam.conditions import bare_name, known
from modelyard.services.iam.document import as_list
from modelyard.services.iam.patterns import glob

VERSIONS = ("2012-10-17", "2008-10-17")
_STATEMENT = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal", "NotPrincipal"}
_TRUSTED = ("assumerole", "assumerolewithsaml", "assumerolewithwebidentity", "tagsession", "setsourceidentity", "setcontext")
_VENDOR = re.compile(r"\*|[a-zA-Z0-9.-]*").fullmatch
_SID = re.compile(r"[0-9A-Za-z]*").fullmatch
_PRINCIPALS = {
    "AWS": re.compile(
        r"\*|\d{12}|A[A-Z0-9]{15,}|arn:aws[a-z-]*:(iam::\d{12}:(root|(user|role)/[^*?]+)|sts::\d{12}:(assumed-role/[^*?/]+/[^*?/]+|federated-user/[^*?]+))"
    ).fullmatch,
    "Service": re.compile(r"[a-z0-9.-]+\.(amazonaws\.com(\.cn)?|amazon\.com|internal)").fullmatch,
    "Federated": re.compile(r"arn:aws[a-z-]*:iam::\d{12}:(saml|oidc)-provider/.+|[A-Za-z0-9.-]+\.[A-Za-z]+").fullmatch,
    "CanonicalUser": re.compile(r"[0-9a-f]{64}").fullmatch,
}
_SYNTAX, _LEGACY = "Syntax errors in policy.", "The policy failed legacy parsing"


def malformed(message: str) -> ApiError:
    return ApiError("MalformedPolicyDocument", message, 400)


def identity_policy(text: str) -> Mapping[str, Any]:
    """An inline or session policy: no Principal, and a Resource."""
    return _identity(text, VERSIONS)


def managed_policy(text: str) -> Mapping[str, Any]:
    """A managed policy: as an inline one, of the newer version only."""
    return _identity(text, VERSIONS[:1])


def _identity(text: str, versions: tuple[str, ...]) -> Mapping[str, Any]:
    document = _parsed(text, _SYNTAX)
    if set(document) - {"Version", "Id", "Statement"} or not isinstance(document.get("Id", ""), str):
        raise malformed(_SYNTAX)
    if document.get("Version", VERSIONS[0]) not in VERSIONS:
        raise malformed(_SYNTAX)
    statements = _statements(document, _SYNTAX)
    for statement in statements:
        if "Principal" in statement or "NotPrincipal" in statement:
            raise malformed("Policy document should not specify a principal.")
        _syntax(statement)
    if document.get("Version", VERSIONS[1]) not in versions:
        raise malformed("Policy document must be version 2012-10-17 or greater.")
    for statement in statements:
        _legacy(statement)
    _sids(statements)
    wrong = _first(arn_grammar.fault(resource) for resource in _resources(statements))
    if wrong is None and not all(arn_grammar.old_parser_takes(resource) for resource in _resources(statements)):
        raise malformed(_LEGACY)
    for statement in statements:
        if not _texts(statement, "Action") and not _texts(statement, "NotAction"):
            raise malformed("Policy statement must contain actions.")
    if wrong is not None:
        raise malformed(wrong)
    for statement in statements:
        _actions(statement)
    for statement in statements:
        if not _texts(statement, "Resource") and not _texts(statement, "NotResource"):
            raise malformed("Policy statement must contain resources.")
    return document


def trust_policy(text: str) -> Mapping[str, Any]:
    """A role's trust policy: a Principal, sts actions, no Resource."""
    document = _parsed(text, "This policy contains invalid Json")
    for name in document:
        if name not in ("Version", "Id", "Statement"):
            raise malformed(f"Unknown field {name}")
    if document.get("Version", VERSIONS[0]) not in VERSIONS:
        raise malformed("The policy must contain a valid version string.")
    statements = _statements(document, "Missing required field Statement" if "Statement" not in document else _SYNTAX)
    for statement in statements:
        for name in ("Resource", "NotResource"):
            if name in statement:
                raise malformed(f"Has prohibited field {name}")
        for name in ("Effect", "Principal"):
            if name not in statement and not (name == "Principal" and "NotPrincipal" in statement):
                raise malformed(f"Missing required field {name}")
        if statement["Effect"] not in ("Allow", "Deny"):
            raise malformed(f"Invalid effect: {statement['Effect']}")
        _principal(statement.get("Principal", statement.get("NotPrincipal")))
        _syntax(statement)
        _legacy(statement)
        if not _texts(statement, "Action") and not _texts(statement, "NotAction"):
            raise malformed("Missing required field Action")
        _actions(statement)
        for action in _texts(statement, "Action"):
            if not any(glob(action.lower())(f"sts:{name}") for name in _TRUSTED):
                raise malformed("AssumeRole policy may only specify STS AssumeRole actions.")
    _sids(statements)
    return document


# --- pieces ----------------------------------------------------------------------------------------------


class _Twice(ValueError):
    """A key that stands twice in one object: which of the two holds is anybody's guess, so neither does."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice
    return found


def _parsed(text: str, unreadable: str) -> Mapping[str, Any]:
    try:
        document = orjson.loads(text)
        if text.count('"') > 4:
            json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise malformed(unreadable) from None
    if not isinstance(document, dict):
        raise malformed(unreadable)
    return document


def _statements(document: Mapping[str, Any], missing: str) -> list[Mapping[str, Any]]:
    statements = as_list(document.get("Statement", []))
    if not statements or not all(isinstance(s, dict) and not set(s) - _STATEMENT for s in statements):
        raise malformed(missing)
    return statements


def _syntax(statement: Mapping[str, Any]) -> None:
    effect = statement.get("Effect")
    sound = isinstance(effect, str) and effect.lower() in ("allow", "deny") and isinstance(statement.get("Sid", ""), str)
    for name, negated in (("Action", "NotAction"), ("Resource", "NotResource")):
        sound = sound and not (name in statement and negated in statement)
        for value in as_list(statement.get(name, statement.get(negated, []))):
            sound = sound and (isinstance(value, str) or (value is None and name == "Resource"))
    if not sound or not _condition_is_sound(statement.get("Condition", {})):
        raise malformed(_SYNTAX)


def _condition_is_sound(block: Any) -> bool:
    if not isinstance(block, dict):
        return False
    for operator, keys in block.items():
        if not isinstance(keys, dict) or (keys and not known(operator)):
            return False
        for values in keys.values():
            if not all(isinstance(value, (str, bool, int, float)) for value in as_list(values)):
                return False
    return True


def _legacy(statement: Mapping[str, Any]) -> None:
    if statement["Effect"] not in ("Allow", "Deny"):
        raise malformed(_LEGACY)
    for operator, keys in statement.get("Condition", {}).items():
        if bare_name(operator).startswith("date") and not all(_is_moment(value) for values in keys.values() for value in as_list(values)):
            raise malformed(_LEGACY)


_DATE = re.compile(
    r"-?\d{1,9}(-(0?[1-9]|1[0-2])(-(0?[1-9]|[12]\d|3[01]))?)?"
    r"(t((\d|[01]\d|2[0-3])(:[0-5]?\d(:[0-5]?\d(\.\d{1,9})?(z|[+-]([01]\d|2[0-3])(:[0-5]\d)?)?)?)?)?z?)?"
).fullmatch


def _is_moment(value: Any) -> bool:
    """Epoch seconds, or a date of ISO 8601 (parts of it may lack)."""
    text = str(value).lower()
    if "t" in text or "-" in text:
        return _DATE(text) is not None
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None and float(text) < 1 << 63


def _sids(statements: list[Mapping[str, Any]]) -> None:
    sids = [statement["Sid"] for statement in statements if statement.get("Sid")]
    if not all(map(_SID, sids)):
        raise malformed("Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*")
    if len(sids) != len(set(sids)):
        raise malformed("Statement IDs (SID) in a single policy must be unique.")


def _actions(statement: Mapping[str, Any]) -> None:
    for action in (*_texts(statement, "Action"), *_texts(statement, "NotAction")):
        vendor, colon, name = action.partition(":")
        if not colon and action != "*":
            raise malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
        if ":" in name:
            raise malformed("Actions/Condition can contain only one colon.")
        if not _VENDOR(vendor):
            raise malformed(f"Vendor {vendor} is not valid")


def _principal(element: Any) -> None:
    if element == "*":
        return
    if not isinstance(element, dict) or not element:
        raise malformed(_SYNTAX)
    for kind, values in element.items():
        if kind not in _PRINCIPALS:
            raise malformed(f"Invalid principal in policy: {kind}")
        if not as_list(values):
            raise malformed(_SYNTAX)
        for value in as_list(values):
            if not isinstance(value, str):
                raise malformed(_SYNTAX)
            if not _PRINCIPALS[kind](value) or (kind == "Service" and not service_principals.is_known(value)):
                if kind == "Federated":
                    raise malformed("Federated principals must be valid domain names or SAML metadata ARNs")
                raise malformed(f'Invalid principal in policy: "{"SERVICE" if kind == "Service" else kind}":"{value}"')


def _texts(statement: Mapping[str, Any], name: str) -> list[str]:
    return [value for value in as_list(statement.get(name, [])) if value is not None]


def _resources(statements: list[Mapping[str, Any]]) -> list[str]:
    return [value for s in statements for name in ("Resource", "NotResource") for value in _texts(s, name)]


def _first(faults: Any) -> str | None:
    return next((fault for fault in faults if fault is not None), None)
