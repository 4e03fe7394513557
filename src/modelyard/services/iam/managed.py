"""AWS-managed policies: real ARNs, documents after AWS's public documentation, as data (`data/managed_policies.json`).

The long ones are condensed, and say so (`ManagedPolicy.condensed`).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

PREFIX = "arn:aws:iam::aws:policy"
# AWS's own creation dates of these policies are not part of the platform's time: one fixed moment, 2015-02-06.
CREATED_AT = 1423247977.0


@dataclass(frozen=True)
class ManagedPolicy:
    """`version` is the id of the default version, such as v19; only that one's document is kept. `condensed` says that the document grants the
    same services and verbs as AWS's, but not line by line."""

    name: str
    path: str
    policy_id: str
    version: str
    description: str
    document: str
    condensed: bool = False

    @property
    def arn(self) -> str:
        return f"{PREFIX}{self.path}{self.name}"


@cache
def _policies() -> dict[str, ManagedPolicy]:
    rows: list[dict[str, Any]] = orjson.loads((Path(__file__).parent / "data/managed_policies.json").read_bytes())
    made = [
        ManagedPolicy(
            r["name"],
            r.get("path", "/"),
            r.get("id") or _id(r["name"]),
            r.get("version", "v1"),
            r["description"],
            orjson.dumps(r["document"]).decode(),
            r.get("condensed", False),
        )
        for r in rows
    ]
    return {policy.arn: policy for policy in sorted(made, key=lambda p: p.name)}


def _id(name: str) -> str:
    """A stable id in AWS's shape for a policy whose real one is not at hand."""
    return "ANPA" + base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()[:17]


def find(arn: str) -> ManagedPolicy | None:
    return _policies().get(arn) if arn.startswith(PREFIX) else None


def all_policies() -> list[ManagedPolicy]:
    """Sorted by name."""
    return list(_policies().values())
