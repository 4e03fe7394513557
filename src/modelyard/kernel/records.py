"""Records: what the platform remembers of one resource."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """One resource.

    `spec` is what was asked for (the request, and later wishes: stop, delete, update); only
    operations write it. `status` and `state` are what is; only `Store.apply` writes them. `revision`
    counts every change and guards every write. `due_at` is the platform time at which the reconciler
    shall look again (None: not until something is asked).
    """

    uid: str
    kind: str
    account: str
    region: str
    name: str
    arn: str
    owner: str | None
    status: str
    spec: dict[str, Any]
    state: dict[str, Any]
    revision: int
    due_at: float | None
    wakes: int
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one record, committed with it. `seq` orders all events of the platform.

    `kind`, `account`, `region`, `name`, `arn` and `owner` are the record's; `old` is None for a new
    record, `new` is None for a deleted one. `revision` is the record's after the change: the events of
    a record have revisions 1, 2, 3, … without gaps. `detail` is what the writer wants readers to know.
    """

    seq: int
    uid: str
    kind: str
    account: str
    region: str
    name: str
    arn: str
    owner: str | None
    old: str | None
    new: str | None
    revision: int
    at: float
    detail: dict[str, Any]


def new_uid() -> str:
    """16 bytes of randomness in hex: names runs and folders too, so file-system safe."""
    return secrets.token_hex(12)
