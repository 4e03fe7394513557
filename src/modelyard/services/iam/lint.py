"""What is wrong with a policy document before it is attached: `modelyard policy lint`. Pure; needs no platform.

First the grammar, with the texts IAM itself answers (validate.py), then what IAM takes and never works: actions that do not exist,
resources that none of the actions takes, condition keys that no request has, statements without effect, and grants that are too wide.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.iam import lint_grammar, lint_values, managed, reference, validate
from modelyard.services.iam.document import as_list
from modelyard.services.iam.overlap import NAME, covers, overlap
from modelyard.services.iam.patterns import glob
from modelyard.services.iam.positions import statement_positions

_MALFORMED = "MalformedPolicyDocument"
ERROR, WARNING = "error", "warning"
MANAGED_SIZE, INLINE_SIZE = 6144, 10240
_VARIABLE = re.compile(r"\$\{[^}]*\}")
_ONE_PART = re.compile(r"\$\{(Partition|Region|Account|BucketName)\}")


@dataclass(frozen=True)
class Finding:
    """`statement` counts from 1; 0: the whole document."""

    level: str
    code: str
    statement: int
    line: int
    text: str
    column: int = 1

    def told(self) -> dict[str, Any]:
        return asdict(self)


Found = Iterator[tuple[str, str, str]]
"""(level, code, text)"""


def lint(text: str) -> list[Finding]:
    problems = _grammar(text)
    if problems:
        return problems
    document = json.loads(text)
    statements = as_list(document["Statement"])
    starts = [(start["Line"], start["Column"]) for start, _ in statement_positions(text)]
    found = [Finding(level, code, 0, 1, said) for level, code, said in _document(document, text)]
    for number, statement in enumerate(statements, 1):
        line, column = starts[number - 1]
        checks = (_actions, _resources, _conditions, _width)
        found += [Finding(level, code, number, line, said, column) for check in checks for level, code, said in check(statement)]
        values = lint_values.faults(statement, document.get("Version") == "2012-10-17")
        found += [Finding(level, code, number, line, said, column) for level, code, said in dict.fromkeys(values)]
        said = _without_effect(statement, number, statements)
        if said is not None:
            found.append(Finding(WARNING, "no-effect", number, line, said, column))
    return found


def _grammar(text: str) -> list[Finding]:
    """What IAM refuses: in our words where we can say what it is, and in IAM's."""
    try:
        document = json.loads(text, object_pairs_hook=lint_grammar.once)
    except lint_grammar.Twice as twice:
        line, column = lint_grammar.place_of_second(text, str(twice))
        return [Finding(ERROR, _MALFORMED, 0, line, f"{twice} stands twice in one object. IAM answers: Syntax errors in policy.", column)]
    except (ValueError, RecursionError) as problem:
        line, column = getattr(problem, "lineno", 1), getattr(problem, "colno", 1)
        where = f" ({problem})" if isinstance(problem, json.JSONDecodeError) else ""
        return [Finding(ERROR, _MALFORMED, 0, line, f"Syntax errors in policy.{where}", column)]
    faults = list(lint_grammar.faults(document))
    answer = _answer(document, text)
    if not faults:
        return [_placed(answer, document, text)] if answer is not None else []
    said = f" IAM answers: {answer.text}" if answer is not None else ""
    starts = statement_positions(text) if any(number for number, _ in faults) else []
    found = []
    for number, fault in faults:
        at = starts[number - 1][0] if 0 < number <= len(starts) else {"Line": 1, "Column": 1}
        found.append(Finding(ERROR, _MALFORMED, number, at["Line"], fault + said, at["Column"]))
    return found


def _answer(document: Any, text: str) -> Finding | None:
    """IAM's own."""
    try:
        statements = as_list(document.get("Statement", [])) if isinstance(document, dict) else []
        if any(isinstance(s, dict) and ("Principal" in s or "NotPrincipal" in s) for s in statements):
            _of_resource(document, statements, text)
        else:
            validate.identity_policy(text)
    except ApiError as problem:
        return Finding(ERROR, problem.code, 0, 1, problem.message)
    return None


def _placed(answer: Finding, document: Mapping[str, Any], text: str) -> Finding:
    """Where one statement alone gets the same answer, it is that one."""
    for number, (start, _) in enumerate(statement_positions(text), 1):
        alone = {**document, "Statement": [as_list(document["Statement"])[number - 1]]}
        found = _answer(alone, json.dumps(alone))
        if found is not None and found.text == answer.text:
            return Finding(answer.level, answer.code, number, start["Line"], answer.text, start["Column"])
    return answer


def _of_resource(document: Mapping[str, Any], statements: list[Any], text: str) -> None:
    """A trust policy, or the policy of another resource: as an identity's, but that it names principals."""
    if all(isinstance(s, dict) and _is_trust(s) for s in statements):
        validate.trust_policy(text)
        return
    bare = [{k: v for k, v in s.items() if k not in ("Principal", "NotPrincipal")} if isinstance(s, dict) else s for s in statements]
    validate.identity_policy(json.dumps({**document, "Statement": bare}))


def _is_trust(statement: Mapping[str, Any]) -> bool:
    """It names no resource, or no action but those by which roles are taken."""
    actions = [action for action in as_list(statement.get("Action", [])) if isinstance(action, str)]
    bare = "Resource" not in statement and "NotResource" not in statement
    return bare or (bool(actions) and all(re.match(r"(?i)sts:(assumerole|tagsession|setsourceidentity)", one) for one in actions))


def _document(document: Mapping[str, Any], text: str) -> Found:
    if "Version" not in document:
        yield (
            WARNING,
            "version",
            'No Version: it is read as 2008-10-17, in which ${variables} are plain text. Write "Version": "2012-10-17".',
        )
    size = len(re.sub(r"\s", "", text))
    if size > INLINE_SIZE:
        yield ERROR, "size", f"{size} characters without white space: no policy of an identity may have more than {INLINE_SIZE}."
    elif size > MANAGED_SIZE:
        yield WARNING, "size", f"{size} characters without white space: a managed policy may have {MANAGED_SIZE}."


# --- actions --------------------------------------------------------------------------------------------


def _known(pattern: str) -> list[tuple[reference.Vendor, reference.Action]]:
    """The actions that a pattern `prefix:Name*` means."""
    prefix, _, name = pattern.lower().partition(":")
    matches = glob(name)
    found = []
    for one in [prefix] if not re.search(r"[*?]", prefix) else [n for n in reference.names() if glob(prefix)(n)]:
        vendor = reference.vendor(one)
        found += [(vendor, action) for lower, action in vendor.actions.items() if matches(lower)] if vendor is not None else []
    return found


def _named(statement: Mapping[str, Any]) -> list[str]:
    return [action for action in as_list(statement.get("Action", [])) if action is not None]


@cache
def _of_aws() -> frozenset[str]:
    """Actions (lower case) that AWS's own policies name: some are newer than the reference, or older."""
    statements = [s for one in managed.all_policies() for s in as_list(json.loads(one.document)["Statement"])]
    return frozenset(action.lower() for s in statements for action in (*_named(s), *as_list(s.get("NotAction", []))))


def _actions(statement: Mapping[str, Any]) -> Found:
    for pattern in (*_named(statement), *as_list(statement.get("NotAction", []))):
        if pattern == "*" or _known(pattern) or pattern.lower() in _of_aws():
            continue
        prefix, _, name = pattern.partition(":")
        vendor = reference.vendor(prefix.lower())
        if vendor is None:
            near = difflib.get_close_matches(prefix.lower(), reference.names(), 1)
            yield ERROR, "unknown-service", f"{pattern}: there is no service {prefix!r}." + (f" Is {near[0]} meant?" if near else "")
            continue
        near = difflib.get_close_matches(name.lower(), vendor.actions, 1)
        said = f" Is {prefix}:{vendor.actions[near[0]].name} meant?" if near else ""
        level = WARNING if re.search(r"[*?]", name) else ERROR  # AWS's own policies name verbs that a service does not have yet
        yield level, "unknown-action", f"{pattern}: {prefix} has no such action.{said}"


_EVERY_BUCKET = "arn:aws:s3:::*"
"""S3 asks for ListAllMyBuckets and its like on this; the reference knows no resource for them."""


# --- resources ------------------------------------------------------------------------------------------


def _resources(statement: Mapping[str, Any]) -> Found:
    """Each action needs a resource that it takes, and each resource an action that takes it."""
    resources = [r for r in as_list(statement.get("Resource", [])) if isinstance(r, str)]
    if not resources or "*" in resources or "Action" not in statement:
        return
    taken: set[str] = set()
    level = ERROR if statement["Effect"] == "Allow" else WARNING
    for pattern in _named(statement):
        actions = _known(pattern) if pattern != "*" else []
        fitting = {r for vendor, action in actions for t in vendor.templates(action) for r in resources if fits(r, t)}
        taken |= fitting if pattern != "*" else set(resources)
        if not actions or fitting:
            continue
        templates = list(dict.fromkeys(t for vendor, action in actions for t in vendor.templates(action)))
        if not templates and actions[0][0].arns and _EVERY_BUCKET in resources and pattern.lower().startswith("s3:"):
            taken.add(_EVERY_BUCKET)
        elif not templates and actions[0][0].arns:
            yield level, "needs-any-resource", f'{pattern} knows no resources: it works with "Resource": "*" only.'
        elif templates:
            yield (
                level,
                "resource-does-not-fit",
                f"{pattern} takes {_told(templates)}: none of the resources is one, so the statement has no effect on it."
                + _of_s3(pattern, resources),
            )
        else:
            taken |= set(resources)
    if any(_known(pattern) for pattern in _named(statement)):
        for resource in resources:
            if resource not in taken:
                yield level, "resource-without-action", f"{resource}: none of the statement's actions takes such a resource."


def _of_s3(pattern: str, resources: list[str]) -> str:
    """The usual mistake: a bucket where its objects are meant, or the other way round."""
    name = re.fullmatch(r"arn:aws:s3:::([^/*?]+)(/.*)?", resources[0])
    if not pattern.lower().startswith("s3:") or name is None:
        return ""
    return f" Is {'arn:aws:s3:::' + name[1] if name[2] else 'arn:aws:s3:::' + name[1] + '/*'} meant?"


def _told(templates: list[str]) -> str:
    shown = [template.replace("${Partition}", "aws") for template in templates[:3]]
    return " or ".join(shown) + (" …" if len(templates) > 3 else "")


def fits(resource: str, template: str) -> bool:
    """Whether some ARN that a policy's resource means is one of the template's."""
    asked = _VARIABLE.sub("*", resource)
    if asked.count(":") < 5:
        asked += ":*"
    return overlap(asked, _VARIABLE.sub("*", _ONE_PART.sub(lambda hole: NAME, template)))


# --- conditions -----------------------------------------------------------------------------------------


def _conditions(statement: Mapping[str, Any]) -> Found:
    actions = [one for pattern in _named(statement) if pattern != "*" for one in _known(pattern)]
    for key in dict.fromkeys(key for keys in statement.get("Condition", {}).values() for key in keys):
        lower = key.lower()
        if lower in reference.GLOBAL_KEYS or lower.startswith(reference.GLOBAL_TAGS):
            continue
        vendor = reference.vendor(lower.partition(":")[0])
        provider = "/" in lower or "." in lower.partition(":")[0]  # of an identity provider: accounts.google.com:aud
        if lower.startswith("aws:") or (vendor is None and not provider):
            near = difflib.get_close_matches(lower, reference.GLOBAL_KEYS, 1)
            yield ERROR, "unknown-condition-key", f"{key}: there is no such condition key." + (f" Is {near[0]} meant?" if near else "")
        elif vendor is not None and not reference.knows(vendor.keys, lower) and lower not in _TOO:
            near = difflib.get_close_matches(lower, vendor.keys, 1)
            yield ERROR, "unknown-condition-key", f"{key}: there is no such condition key." + (f" Is {near[0]} meant?" if near else "")
        elif vendor is not None and actions and not any(_has_key(v, action, lower) for v, action in actions):
            yield WARNING, "condition-key-not-of-action", f"{key}: none of the statement's actions brings it, so it is never there."


_TOO = frozenset({"sts:rolesessionname", "sts:externalid", "s3:versionid", "kms:viaservice", "iam:passedtoservice"})


def _has_key(vendor: reference.Vendor, action: reference.Action, key: str) -> bool:
    of_types = (vendor.of_type.get(kind, frozenset()) for kind in action.types)
    return reference.knows(action.keys, key) or any(reference.knows(keys, key) for keys in of_types) or key in _TOO


# --- too wide -------------------------------------------------------------------------------------------


def _width(statement: Mapping[str, Any]) -> Found:
    if statement["Effect"] != "Allow":
        return
    everywhere = "*" in as_list(statement.get("Resource", []))
    conditional = bool(statement.get("Condition"))
    for pattern in _named(statement):
        if pattern in ("*", "*:*") and everywhere:
            yield WARNING, "everything", "Allows every action on every resource: this is an administrator."
        elif pattern.endswith(":*") and everywhere and not conditional:
            yield WARNING, "wide", f"{pattern} on every resource: name actions or resources (modelyard policy least-privilege writes them)."
        if everywhere and not conditional and pattern != "*" and glob(pattern.lower())("iam:passrole"):
            yield (
                WARNING,
                "pass-any-role",
                "iam:PassRole on every role lets the caller act as any of them: name the roles, or iam:PassedToService.",
            )
    if "NotAction" in statement:
        yield WARNING, "not-action", "Allow with NotAction allows every other action of every service, also of those that come later."
    if "NotResource" in statement:
        yield WARNING, "not-resource", "Allow with NotResource allows every other resource, also those that come later."
    principal = statement.get("Principal")
    if (principal == "*" or (isinstance(principal, dict) and "*" in as_list(principal.get("AWS", [])))) and not conditional:
        yield WARNING, "anyone", 'Principal "*" without a condition: anyone in the world.'
    if "NotPrincipal" in statement:
        yield WARNING, "not-principal", "Allow with NotPrincipal names everyone else in the world."


# --- without effect -------------------------------------------------------------------------------------


def _without_effect(statement: Mapping[str, Any], number: int, statements: list[Mapping[str, Any]]) -> str | None:
    """Why a statement changes nothing: another denies all of it, or says it already."""
    for other_number, other in enumerate(statements, 1):
        if other_number == number or other.get("Condition") or not _within(statement, other):
            continue
        name = f"statement {other['Sid']}" if other.get("Sid") else f"statement number {other_number}"
        if statement["Effect"] == "Allow" and other["Effect"] == "Deny":
            return f"It never allows anything: {name} denies all of it."
        if statement["Effect"] == other["Effect"] and (other_number < number or not _within(other, statement)):
            return f"{name[0].upper()}{name[1:]} says it already."
    return None


def _within(inner: Mapping[str, Any], outer: Mapping[str, Any]) -> bool:
    if "Action" not in inner or "Action" not in outer or "NotResource" in inner or "NotResource" in outer:
        return False
    if inner.get("Principal") != outer.get("Principal") or inner.get("NotPrincipal") != outer.get("NotPrincipal"):
        return False
    mine, theirs = [a.lower() for a in _named(inner)], [a.lower() for a in _named(outer)]
    if not all(any(covers(wide, one) for wide in theirs) for one in mine):
        return False
    resources = as_list(outer.get("Resource", "*"))
    return all(any(covers(wide, one) for wide in resources) for one in as_list(inner.get("Resource", "*")))
