"""What all protocols share: how shapes are compiled, and what an answer always carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.wire.http import Headers
from modelyard.wire.shapes import Model, Shape

Compiled = Callable[..., Any]


class UnmodelledMember(Exception):
    """A response has a member that its shape lacks: a bug of the operation, told in strict mode."""


class Compiler:
    """Turns shapes into functions, each shape once; a recursive shape gets a late-bound call of itself.

    Subclasses have `structure`, `list`, `map` and `scalar`, each `(shape) -> function`.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self._done: dict[int, Compiled | None] = {}
        self._keep: list[Shape] = []

    def compile(self, shape: Shape) -> Compiled | None:
        """The function of this shape; None where the value goes through as it is."""
        key = id(shape)
        if key in self._done:
            return self._done[key]
        self._keep.append(shape)
        if shape.kind in ("structure", "list", "map"):
            self._done[key] = lambda *arguments: self._done[key](*arguments)  # type: ignore[misc]
            self._done[key] = getattr(self, shape.kind)(shape)
        else:
            self._done[key] = self.scalar(shape)
        return self._done[key]

    def structure(self, shape: Shape) -> Compiled: ...

    def list(self, shape: Shape) -> Compiled: ...

    def map(self, shape: Shape) -> Compiled: ...

    def scalar(self, shape: Shape) -> Compiled | None: ...

    def unknown(self, shape: Shape, member: str) -> None:
        if self.strict:
            raise UnmodelledMember(f"{shape.name} has no member {member!r}")


def body_members(shape: Shape) -> dict[str, Shape]:
    """The members that travel in the body."""
    return {name: member for name, member in shape.members.items() if member.location is None}


def answer_members(shape: Shape) -> dict[str, Shape]:
    """The members that travel in the body of an answer: URI and query bindings mean nothing there."""
    return {name: member for name, member in shape.members.items() if member.location in (None, "uri", "querystring")}


def error_shape(model: Model | None, error: ApiError, operation: str | None = None) -> Shape | None:
    """The modelled shape of this error, if the operation, else the service has one of its code (or of its name)."""
    if model is None:
        return None
    for reference in model.raw["operations"][operation].get("errors", ()) if operation else ():
        if model.raw["shapes"][reference["shape"]].get("error", {}).get("code", reference["shape"]) == error.code:
            return model.shape(reference)
    found = model.errors_by_code.get(error.code)
    if found is None and model.raw["shapes"].get(error.code, {}).get("exception"):
        found = Shape(model, error.code)
    return found


def message_member(shape: Shape | None) -> str:
    """How this error spells its message: `message` unless the model says `Message`."""
    if shape is not None and "message" not in shape.members:
        for name in shape.members:
            if name.lower() == "message":
                return name
    return "message"


def error_headers(error: ApiError) -> Headers:
    return [(name.lower(), value) for name, value in error.headers.items()]
