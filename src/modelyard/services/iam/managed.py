"""AWS-managed policies: their ARNs, default versions and documents as AWS publishes them, as data (`data/managed_policies.zip`, made by
`tools/make_managed_policies.py`)."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson

PREFIX = "arn:aws:iam::aws:policy"
_DATA = Path(__file__).parent / "data/managed_policies.zip"


@dataclass(frozen=True)
class ManagedPolicy:
    """`version` is the id of the default version, such as v19, made at `updated_at`; only that one's document is kept. Epoch seconds."""

    arn: str
    path: str
    name: str
    policy_id: str
    version: str
    description: str
    created_at: float
    updated_at: float
    place: tuple[int, int]

    @property
    def document(self) -> str:
        begin, length = self.place
        return _documents()[begin : begin + length].decode()


@cache
def _policies() -> dict[str, ManagedPolicy]:
    with zipfile.ZipFile(_DATA) as archive:
        rows: list[dict[str, Any]] = orjson.loads(archive.read("index.json"))
    return {row["arn"]: _made(row) for row in rows}


@cache
def _documents() -> bytes:
    with zipfile.ZipFile(_DATA) as archive:
        return archive.read("documents")


def _made(row: dict[str, Any]) -> ManagedPolicy:
    path, _, name = row["arn"].removeprefix(PREFIX).rpartition("/")
    policy_id, description = row.get("id") or _id(name), row.get("description", "")
    made, place = (row["created"], row["updated"]), (row["at"], row["length"])
    return ManagedPolicy(row["arn"], f"{path}/", name, policy_id, row["version"], description, *made, place)


def _id(name: str) -> str:
    """A stable id in AWS's shape for a policy whose real one is not at hand."""
    return "ANPA" + base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()[:17]


def find(arn: str) -> ManagedPolicy | None:
    return _policies().get(arn) if arn.startswith(PREFIX) else None


def all_policies() -> list[ManagedPolicy]:
    """Sorted by ARN."""
    return list(_policies().values())
