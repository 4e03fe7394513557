"""Lifecycles as data: a kind's first status and the arrows a reconciler may follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Lifecycle:
    """`kind` names the records; a status without outgoing arrows is final.

    `due` says whether a new record is handed to the kind's reconciler at once; kinds without a
    reconciler (a model, a policy) say False.
    """

    kind: str
    first: str
    arrows: Mapping[str, frozenset[str] | set[str]] = field(default_factory=dict)
    due: bool = True

    def allows(self, old: str, new: str) -> bool:
        return old == new or new in self.arrows.get(old, ())

    def is_final(self, status: str) -> bool:
        return not self.arrows.get(status)


def static(kind: str, status: str = "Active") -> Lifecycle:
    """The lifecycle of a resource that nothing moves: it is there or it is not."""
    return Lifecycle(kind, first=status, due=False)
