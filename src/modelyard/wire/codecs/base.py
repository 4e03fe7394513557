"""The codec of one operation in one protocol: what every protocol module fills in."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Body
from modelyard.wire.codecs.scalars import Malformed
from modelyard.wire.compression import plain_body
from modelyard.wire.http import HttpRequest, HttpResponse
from modelyard.wire.shapes import Model, Shape

if TYPE_CHECKING:
    from modelyard.wire.routing import Route


_MALFORMED = {"query": "MalformedInput", "ec2": "InvalidParameterValue", "rest-xml": "InvalidArgument"}
"""How the protocols that are not JSON call a value that has not the form of its type."""


class Codec:
    """`parse` and `validate` a request, `serialise` a response or an `error`.

    `streams_in`: the request's payload is a streaming blob, `parse` wants the `Body` itself.
    `streams_out`: the response's payload is a blob, which may be an iterator or a FileSlice, or an event stream.
    Shapes are compiled when a side is first used, and kept.
    """

    protocol = ""

    def __init__(self, model: Model, operation: str) -> None:
        self.model = model
        self.service = model.name
        self.operation = operation
        self.http = model.raw["operations"][operation].get("http", {})
        self.input = model.input(operation)
        self.output = model.output(operation)
        self.streams_in = self._payload(self.input, lambda shape: shape.is_streaming)
        self.streams_out = self._payload(self.output, lambda shape: shape.kind == "blob") or self.event_stream is not None

    @cached_property
    def _unpacks(self) -> bool:
        """Bodies of REST operations may be content that is gzip on purpose, unless the model speaks of compression."""
        return not self.protocol.startswith("rest-") or "requestcompression" in self.model.raw["operations"][self.operation]

    @staticmethod
    def _payload(side: Shape | None, test: Any) -> bool:
        name = side.trait("payload") if side else None
        return bool(name) and test(side.members[name])

    @cached_property
    def event_stream(self) -> tuple[str, Shape] | None:
        """The output member that is an event stream."""
        members = self.output.members.items() if self.output else ()
        return next(((name, shape) for name, shape in members if shape.is_event_stream), None)

    # --- what the gateway calls ---------------------------------------------------------------

    def parse(self, route: Route, request: HttpRequest, body: bytes | Body) -> dict[str, Any]:
        """The request as boto3 would take it. Raises ApiError (4xx) for whatever does not fit."""
        try:
            if self._unpacks and body:
                body = plain_body(request, body)
            return self.read(route, request, body)
        except RecursionError:
            problem = Malformed("the request is nested too deep")
        except Malformed as found:
            problem = found
        raise ApiError(_MALFORMED.get(self.protocol, problem.code), problem.message, problem.status)

    def validate(self, parsed: dict[str, Any]) -> None:
        """Raises ApiError where a constraint of the model does not hold, in AWS's words."""
        if self._validator is not None:
            self._validator(parsed)

    def accept(self, route: Route, request: HttpRequest, body: bytes | Body) -> dict[str, Any]:
        """`parse` and `validate` in one."""
        parsed = self.parse(route, request, body)
        self.validate(parsed)
        return parsed

    def serialise(self, response: dict[str, Any], request_id: str, strict: bool = False) -> HttpResponse:
        """The answer. `strict`: a member the shape lacks raises `UnmodelledMember`; it is dropped otherwise."""
        raise NotImplementedError

    def error(self, error: ApiError, request_id: str) -> HttpResponse:
        raise NotImplementedError

    # --- for the protocols ----------------------------------------------------------------------

    def read(self, route: Route, request: HttpRequest, body: bytes | Body) -> dict[str, Any]:
        raise NotImplementedError

    @cached_property
    def _validator(self) -> Any:
        from modelyard.wire.validate import validator

        return validator(self.model, self.input) if self.input else None
