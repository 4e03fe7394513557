"""Which actions there are, which resources each takes and which condition keys it knows, from `data/reference.zip`.

Made by tools/make_policy_reference.py from the public Service Authorization Reference; our own actions are those of our model.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import orjson

_DATA = Path(__file__).parent / "data"
_GLOBAL = """aws:calledvia aws:calledviafirst aws:calledvialast aws:chatbotsourcearn aws:currenttime aws:epochtime aws:ec2instancesourceprivateipv4
aws:ec2instancesourcevpc aws:federatedprovider aws:ismcpserviceaction aws:multifactorauthage aws:multifactorauthpresent aws:principalaccount
aws:principalarn aws:principalisawsservice aws:principalorgid aws:principalorgpaths aws:principalservicename aws:principalservicenameslist
aws:principaltype aws:referer aws:requestedregion aws:resourceaccount aws:resourceorgid aws:resourceorgpaths aws:securetransport
aws:signinsessionarn aws:sourceaccount aws:sourcearn aws:sourceidentity aws:sourceip aws:sourceorgid aws:sourceorgpaths aws:sourcevpc
aws:sourcevpcarn aws:sourcevpce aws:tagkeys aws:tokenissuetime aws:useragent aws:userid aws:username aws:viaawsmcpservice aws:viaawsservice
aws:vpceaccount aws:vpceorgid aws:vpceorgpaths aws:vpcsourceip"""
GLOBAL_KEYS = frozenset(_GLOBAL.split())
GLOBAL_TAGS = ("aws:principaltag/", "aws:requesttag/", "aws:resourcetag/")


@dataclass(frozen=True)
class Action:
    name: str
    types: tuple[str, ...]
    keys: frozenset[str]


@dataclass(frozen=True)
class Vendor:
    """The actions (by lower-case name), the ARN templates of resource types, and all condition keys of one prefix."""

    actions: dict[str, Action]
    arns: dict[str, str]
    keys: frozenset[str] = field(default_factory=frozenset)
    of_type: dict[str, frozenset[str]] = field(default_factory=dict)

    def templates(self, action: Action) -> list[str]:
        return [self.arns[kind] for kind in action.types if kind in self.arns]


@cache
def names() -> tuple[str, ...]:
    with zipfile.ZipFile(_DATA / "reference.zip") as archive:
        return (*sorted(name.removesuffix(".json") for name in archive.namelist()), "modelyard")


@cache
def vendor(prefix: str) -> Vendor | None:
    """Of a prefix in lower case; None: there is no such service."""
    if prefix == "modelyard":
        own = orjson.loads((_DATA / "modelyard.json").read_bytes())["operations"]
        return Vendor({name.lower(): Action(name, (), frozenset()) for name in own}, {})
    try:
        with zipfile.ZipFile(_DATA / "reference.zip") as archive:
            said = orjson.loads(archive.read(f"{prefix}.json"))
    except KeyError:
        return None
    resources = said["resources"]
    actions = {name.lower(): Action(name, tuple(types), frozenset(keys)) for name, (types, keys) in said["actions"].items()}
    of_type = {kind: frozenset(keys) for kind, (_, keys) in resources.items()}
    every = frozenset(said["conditions"]).union(*(a.keys for a in actions.values()), *of_type.values())
    return Vendor(actions, {kind: arn for kind, (arn, _) in resources.items()}, every, of_type)


def knows(keys: frozenset[str], key: str) -> bool:
    """Whether a (lower-case) condition key is among these; `x:y/${TagKey}` stands for any `x:y/…`."""
    if key in keys:
        return True
    front, slash, _ = key.partition("/")
    return bool(slash) and any(one.startswith(front + "/") for one in keys)
