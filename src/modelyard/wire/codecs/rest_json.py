"""The protocol `rest-json`: HTTP bindings, JSON bodies."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.wire.codecs import eventstream
from modelyard.wire.codecs.common import Compiled, error_headers, error_shape
from modelyard.wire.codecs.json import JsonReader, JsonWriter, dumps, loads
from modelyard.wire.codecs.json_rpc import error_body, error_kind
from modelyard.wire.codecs.rest import RestCodec, error_bindings
from modelyard.wire.http import HttpResponse
from modelyard.wire.shapes import Model


class RestJsonCodec(RestCodec):
    protocol = "rest-json"

    @cached_property
    def _read(self) -> Compiled:
        return JsonReader().compile(self.input)

    @cached_property
    def _read_payload(self) -> Compiled:
        return JsonReader().compile(self.payload_shape)

    @cached_property
    def _writers(self) -> dict[bool, Compiled]:
        payload = self.output.trait("payload")
        shape = self.output.members[payload] if payload else self.output
        return {strict: JsonWriter(strict).compile(shape) for strict in (False, True)}

    def read_body(self, body: bytes) -> dict[str, Any]:
        value = loads(body) if body else None
        return {} if value is None else self._read(value)

    def read_payload(self, body: bytes) -> Any:
        return self._read_payload(loads(body))

    def serialise(self, response: dict[str, Any], request_id: str, strict: bool = False) -> HttpResponse:
        status, headers = self.bind(response, strict)
        headers.append(("x-amzn-requestid", request_id))
        if self.output is None:
            return HttpResponse(status, headers, b"")
        if (payload := self.output.trait("payload")) is None:
            return self._json(status, headers, {k: v for k, v in response.items() if self._in_body(k)}, strict)
        shape, value = self.output.members[payload], response.get(payload)
        if shape.is_event_stream:
            headers.append(("content-type", eventstream.CONTENT_TYPE))
            return HttpResponse(status, headers, eventstream.json_frames(shape, value))
        if shape.kind in ("blob", "string", "character"):
            return self.blob_answer(status, headers, value)
        if value is None:
            return HttpResponse(status, headers, b"")
        return self._json(status, headers, value, strict)

    def _in_body(self, name: str) -> bool:
        member = self.output.members.get(name)
        return member is None or member.location in (None, "uri", "querystring")

    def _json(self, status: int, headers: list[tuple[str, str]], value: Any, strict: bool) -> HttpResponse:
        if status == 204:
            return HttpResponse(status, headers, b"")
        headers.append(("content-type", "application/json"))
        write = self._writers[strict]
        return HttpResponse(status, headers, dumps(value if write is None else write(value)))

    def error(self, error: ApiError, request_id: str) -> HttpResponse:
        return rest_json_error(self.model, error, request_id, self.operation)


def rest_json_error(model: Model | None, error: ApiError, request_id: str, operation: str | None = None) -> HttpResponse:
    """The code in x-amzn-errortype, the message (and modelled members) in the body or in headers."""
    shape = error_shape(model, error, operation)
    kind, headers = error_kind(model, shape, error)
    bound, fields = error_bindings(shape, error.fields)
    headers += [("x-amzn-requestid", request_id), ("x-amzn-errortype", kind), ("content-type", "application/json"), *bound]
    return HttpResponse(error.status, headers + error_headers(error), dumps(error_body(shape, error, fields)))
