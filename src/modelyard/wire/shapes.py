"""Shapes of a service model as the codecs see them: a reference merged with the shape it names.

A member says `{"shape": "KeyName", "location": "uri"}`; the shape `KeyName` says the rest. `Shape` is both in
one, the member's word first, as Smithy's rules for traits want it. Names on the wire (`locationName`) are the one
exception that needs to know where they came from, which `traits` keeps apart from `own`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from modelyard.kernel import models


@dataclass(frozen=True, eq=False)
class Shape:
    """One resolved shape. `name` is the model's shape name; `reference` the traits said where it is used."""

    model: Model
    name: str
    reference: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def own(self) -> Mapping[str, Any]:
        return self.model.raw["shapes"][self.name]

    @cached_property
    def kind(self) -> str:
        """structure, list, map, string, blob, boolean, integer, long, float, double, timestamp or character."""
        return self.own["type"]

    def trait(self, name: str, default: Any = None) -> Any:
        """The member's word, else the shape's."""
        if name in self.reference:
            return self.reference[name]
        return self.own.get(name, default)

    @property
    def location(self) -> str | None:
        """header, headers, uri, querystring, statusCode; None: the body."""
        return self.reference.get("location")

    @property
    def is_document(self) -> bool:
        return bool(self.trait("document"))

    @property
    def is_event_stream(self) -> bool:
        return bool(self.own.get("eventstream"))

    @property
    def is_streaming(self) -> bool:
        return self.kind == "blob" and bool(self.trait("streaming"))

    @cached_property
    def members(self) -> dict[str, Shape]:
        return {name: self.model.shape(ref) for name, ref in self.own.get("members", {}).items()}

    @cached_property
    def required(self) -> tuple[str, ...]:
        return tuple(self.own.get("required", ()))

    @cached_property
    def member(self) -> Shape:
        return self.model.shape(self.own["member"])

    @cached_property
    def key(self) -> Shape:
        return self.model.shape(self.own["key"])

    @cached_property
    def value(self) -> Shape:
        return self.model.shape(self.own["value"])


class Model:
    """A service model with its shapes resolved on demand."""

    def __init__(self, raw: Mapping[str, Any], name: str = "") -> None:
        self.raw = raw
        self.name = name
        self.metadata: Mapping[str, Any] = raw["metadata"]
        self._resolved: dict[int, Shape] = {}

    def shape(self, reference: Mapping[str, Any]) -> Shape:
        """The shape of a reference of this model: the same object each time, so that recursion ends."""
        found = self._resolved.get(id(reference))
        if found is None:
            found = self._resolved[id(reference)] = Shape(self, reference["shape"], reference)
        return found

    def input(self, operation: str) -> Shape | None:
        return self._side(operation, "input")

    def output(self, operation: str) -> Shape | None:
        return self._side(operation, "output")

    def _side(self, operation: str, side: str) -> Shape | None:
        reference = self.raw["operations"][operation].get(side)
        return self.shape(reference) if reference else None

    @cached_property
    def protocols(self) -> tuple[str, ...]:
        """Every protocol the service can be asked in: the model's list, and for services that moved away from `query`
        (awsQueryCompatible) that one too, because clients from before the move are still around."""
        said = self.metadata.get("protocols") or [self.metadata["protocol"]]
        extra = ["query"] if "awsQueryCompatible" in self.metadata and "query" not in said else []
        return (*said, *extra)

    @cached_property
    def is_query_compatible(self) -> bool:
        return "awsQueryCompatible" in self.metadata

    @cached_property
    def errors_by_code(self) -> dict[str, Shape]:
        """Error shapes by what `ApiError.code` says: the model's error code, else the shape's name. Of several with one code
        that of its name is meant (an operation may know better: see `error_shape`)."""
        found: dict[str, Shape] = {}
        for name, own in self.raw["shapes"].items():
            if own.get("exception"):
                code = own.get("error", {}).get("code", name)
                if code not in found or code == name:
                    found[code] = Shape(self, name)
        return found


_models: dict[str, Model] = {}


def model(service: str) -> Model:
    """The model of botocore's service name, resolved once per process."""
    if service not in _models:
        _models[service] = Model(models.service_model(service), service)
    return _models[service]
