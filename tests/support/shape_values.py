"""Random valid values of a model's shapes, and whether two values of a shape mean the same."""

from __future__ import annotations

import math
from datetime import datetime
from random import Random
from typing import Any

from modelyard.kernel.service import Body
from modelyard.wire.shapes import Shape

_WORDS = [
    "a",
    "Zz9",
    "with space",
    "x=1&y=2",
    "<tag/>",
    'q"uote',
    "per%41cent",
    "sla/sh",
    "plus+",
    "ünïcode",
    "日本",
    "😀",
    "back\\slash",
    "a,b",
    ";:@",
]
_PLAIN = ["a", "Zz9", "x-1", "v2.0", "A_b", "0"]
_FLOATS = [0.0, 1.0, -1.5, 0.25, 1024.5, -0.125]


class Values:
    """`side` is "input" or "output": which differences the wire cannot carry depends on it."""

    def __init__(self, rng: Random, side: str, protocol: str, density: float = 0.6) -> None:
        self.rng, self.side, self.protocol, self.density = rng, side, protocol, density
        self.whole_seconds = False

    def of(self, shape: Shape, depth: int = 0) -> Any:
        if shape.is_document:
            return self.rng.choice([{"a": [1, "x", None, True]}, {"n": 1.5}])
        return getattr(self, shape.kind)(shape, depth)

    @property
    def in_form(self) -> bool:
        """A form cannot say an empty structure, list or map."""
        return self.side == "input" and self.protocol in ("query", "ec2")

    def structure(self, shape: Shape, depth: int) -> dict[str, Any]:
        members = shape.members
        if shape.trait("union"):
            name = self.rng.choice(sorted(members))
            return {name: self.of(members[name], depth + 1)}
        always = {*shape.required, shape.trait("payload")}
        always |= {name for name, member in members.items() if member.trait("eventpayload") or member.trait("idempotencyToken")}
        wanted = [name for name in members if name in always or (depth < 4 and self.rng.random() < self.density)]
        if not wanted and members and depth and self.in_form:
            wanted = [min(members, key=lambda name: members[name].kind in ("structure", "list", "map"))]
        return {name: self.of(members[name], depth + 1) for name in wanted}

    def list(self, shape: Shape, depth: int) -> list[Any]:
        least = 1 if shape.trait("flattened") or shape.location or self.in_form else 0
        count = self.rng.randint(least, 3) if depth < 5 else least
        return [self.of(shape.member, depth + 1) for _ in range(count)]

    def map(self, shape: Shape, depth: int) -> dict[str, Any]:
        least = 1 if shape.trait("flattened") or shape.location or self.in_form else 0
        count = self.rng.randint(least, 3) if depth < 5 else least
        keys = shape.key.trait("enum") or _PLAIN
        chosen = self.rng.sample(keys, min(count, len(keys)))
        if shape.location == "headers":
            return {key.lower(): self.rng.choice(_PLAIN) for key in chosen}
        return {key: self.of(shape.value, depth + 1) for key in chosen}

    def string(self, shape: Shape, depth: int) -> Any:
        if enum := shape.trait("enum"):
            return self.rng.choice(enum)
        if shape.location == "header":
            return {"k": [1, None]} if shape.trait("jsonvalue") else self.rng.choice(_PLAIN)
        return self.rng.choice(_WORDS) + (self.rng.choice(_WORDS) if self.rng.random() < 0.5 else "")

    character = string

    def blob(self, shape: Shape, depth: int) -> bytes:
        return self.rng.randbytes(self.rng.randint(1, 20))

    def boolean(self, shape: Shape, depth: int) -> bool:
        return self.rng.random() < 0.5

    def integer(self, shape: Shape, depth: int) -> int:
        return 200 if shape.location == "statusCode" else self.rng.choice([0, 1, -1, 7, 2**31 - 1])

    def long(self, shape: Shape, depth: int) -> int:
        return self.rng.choice([0, 1, -1, 2**53 - 1])

    def float(self, shape: Shape, depth: int) -> float:
        return self.rng.choice(_FLOATS)

    double = float

    def timestamp(self, shape: Shape, depth: int) -> float:
        whole = self.rng.randint(0, 2_000_000_000)
        exact = self.side == "input" or shape.location or shape.trait("timestampFormat") == "rfc822" or self.whole_seconds
        return float(whole) if exact else whole + self.rng.choice([0, 0.123, 0.5])


def same(shape: Shape, left: Any, right: Any, path: str = "") -> str | None:
    """Where two values of a shape differ; None where they do not. Timestamps to the millisecond, bodies by content."""
    if shape.is_document:
        return None if left == right else f"{path}: {left!r} != {right!r}"
    if shape.is_event_stream and isinstance(left, list) and isinstance(right, list):
        pairs = enumerate(zip(left, right, strict=True))
        return next(filter(None, (same(shape, a, b, f"{path}[{i}]") for i, (a, b) in pairs if isinstance(a, dict))), None)
    if shape.kind == "structure" and isinstance(left, dict) and isinstance(right, dict):
        for name in left.keys() | right.keys():
            if name not in left or name not in right:
                return f"{path}.{name} is only on one side"
            if found := same(shape.members[name], left[name], right[name], f"{path}.{name}"):
                return found
        return None
    if shape.kind == "list" and isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        found = (same(shape.member, a, b, f"{path}[{i}]") for i, (a, b) in enumerate(zip(left, right, strict=True)))
        return next(filter(None, found), None)
    if shape.kind == "map" and isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
        return next(filter(None, (same(shape.value, left[k], right[k], f"{path}[{k}]") for k in left)), None)
    left, right = _plain(left), _plain(right)
    if isinstance(left, (int, float)) and isinstance(right, (int, float)) and math.isclose(left, right, abs_tol=0.0015):
        return None
    return None if left == right else f"{path}: {left!r} != {right!r}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    if isinstance(value, Body) or hasattr(value, "read"):
        return value.read()
    return value
