"""What an operation asks for: its actions and resources, from `data/actions.zip` (see tools/make_action_data.py)."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from modelyard.kernel.service import Call
from modelyard.services.iam.arn_templates import Hole, MemberPath, Request, Template


class Need(NamedTuple):
    """One permission that a request needs."""

    action: str
    resource: str


@dataclass(frozen=True, slots=True)
class _Check:
    action: str
    resources: tuple[tuple[Template, ...], ...]
    only_if: Hole | None
    unless: Hole | None


NEEDS_KEPT = 4096
_kept: dict[tuple[Any, ...], list[Need]] = {}


def needs(call: Call, request: Request) -> list[Need]:
    """Every (action, resource) of this request; empty: no permission is needed, or the operation checks itself."""
    members = _only_names(call.service, call.operation)
    if members is None:
        return _needs(call, request)
    key = (call.service, call.operation, call.region, call.account, *map(request.get, members))
    try:
        found = _kept.get(key)
    except TypeError:  # a member that should be a name is a list or a structure
        return _needs(call, request)
    if found is None:
        found = _needs(call, request)
        if all(value is None or type(value) is str for value in key):
            if len(_kept) >= NEEDS_KEPT:
                _kept.clear()
            _kept[key] = found
    return found


@cache
def _only_names(service: str, operation: str) -> tuple[str, ...] | None:
    """The request members that this operation's ARNs are made of, where they are made of nothing else: then equal members mean
    equal needs. None: they read more than top members (or lists, or the store)."""
    checks, members = _checks(service, operation), []
    for check in checks:
        if check.only_if is not None or check.unless is not None:
            return None
        for template in (one for alternatives in check.resources for one in alternatives):
            if template.top_members is None:
                return None
            members += template.top_members
    return tuple(dict.fromkeys(members))


def _needs(call: Call, request: Request) -> list[Need]:
    found = []
    for check in _checks(call.service, call.operation):
        if check.only_if is not None and not check.only_if.values(call, request):
            continue
        if check.unless is not None and check.unless.values(call, request):
            continue
        if not check.resources:
            found.append(Need(check.action, "*"))
        for alternatives in check.resources:
            for template in alternatives:
                if arns := template.fill(call, request):
                    break
            else:
                arns = ["*"]
            found += [Need(check.action, arn) for arn in arns]
    return found


def condition_keys(prefix: str) -> Mapping[str, MemberPath]:
    """Condition keys (lower case) of a service and the request members that bring them."""
    return _conditions().get(prefix, {})


@cache
def _member(name: str) -> Any:
    """One service's part of the data: a platform reads only those of the services it is asked for."""
    if name == "modelyard":  # our own API is in nobody's reference
        return orjson.loads((Path(__file__).parent / "data/modelyard.json").read_bytes())
    with zipfile.ZipFile(Path(__file__).parent / "data/actions.zip") as archive:
        try:
            return orjson.loads(archive.read(f"{name}.json"))
        except KeyError:
            return None


@cache
def prefix(service: str) -> str:
    """What the actions of botocore's `service` begin with."""
    found = _member(service)
    return found["prefix"] if found is not None else service


@cache
def prefixes() -> tuple[str, ...]:
    """What the actions of all services in the data begin with."""
    with zipfile.ZipFile(Path(__file__).parent / "data/actions.zip") as archive:
        members = [name for name in archive.namelist() if name != "conditions.json"]
        return tuple(sorted({orjson.loads(archive.read(name))["prefix"] for name in members}))


@cache
def _checks(service: str, operation: str) -> tuple[_Check, ...]:
    found = _member(service)
    if found is None:
        return (_Check(f"{service}:{operation}", (), None, None),)
    rows = found["operations"].get(operation, [[f"{found['prefix']}:{operation}", []]])
    return tuple(
        _Check(
            row[0],
            tuple(tuple(Template(text, found["lower"]) for text in alternatives) for alternatives in row[1]),
            Hole(row[2]) if len(row) > 2 and row[2] else None,
            Hole(row[3]) if len(row) > 3 and row[3] else None,
        )
        for row in rows
    )


@cache
def _conditions() -> dict[str, dict[str, MemberPath]]:
    return {prefix: {key.lower(): MemberPath(path) for key, path in keys.items()} for prefix, keys in _member("conditions").items()}
