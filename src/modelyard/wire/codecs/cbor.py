"""The protocol `smithy-rpc-v2-cbor`: paths name the operation, bodies are CBOR."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import cbor2

from modelyard.kernel.errors import ApiError
from modelyard.wire.codecs import arrays, eventstream, scalars
from modelyard.wire.codecs.base import Codec
from modelyard.wire.codecs.common import Compiled, UnmodelledMember, error_headers, error_shape, message_member
from modelyard.wire.codecs.json import JsonReader, JsonWriter
from modelyard.wire.codecs.json_rpc import error_kind
from modelyard.wire.codecs.scalars import Malformed
from modelyard.wire.http import Headers, HttpRequest, HttpResponse
from modelyard.wire.shapes import Model, Shape

if TYPE_CHECKING:
    from modelyard.wire.routing import Route

_HEADERS: Headers = [("smithy-protocol", "rpc-v2-cbor"), ("content-type", "application/cbor")]


MAX_DEPTH = 100


def loads(body: bytes) -> Any:
    try:
        return cbor2.loads(body, max_depth=MAX_DEPTH)
    except (cbor2.CBORError, ValueError, TypeError, ArithmeticError, LookupError, EOFError, RecursionError, MemoryError):
        raise Malformed("Unable to parse the request body: it is not valid CBOR")


def dumps(value: Any) -> bytes:
    return cbor2.dumps(value, default=_raw)


def _raw(encoder: Any, value: Any) -> None:
    if not isinstance(value, arrays.Raw):
        raise TypeError(f"{type(value).__name__} has no CBOR")
    encoder.write(value.data)


class CborReader(JsonReader):
    """As JSON, but blobs are bytes, timestamps are tagged and floats need no words."""

    def scalar(self, shape: Shape) -> Compiled | None:
        special = {"blob": _blob, "timestamp": _timestamp, "float": _float, "double": _float}
        return special.get(shape.kind) or super().scalar(shape)


class CborWriter(JsonWriter):
    def scalar(self, shape: Shape) -> Compiled | None:
        special = {"blob": _bytes, "timestamp": _tagged, "float": float, "double": float, "boolean": bool}
        return special.get(shape.kind)

    many = staticmethod(arrays.cbor)


def _blob(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise Malformed("a blob must be a CBOR byte string")
    return value


def _timestamp(value: Any) -> float:
    if isinstance(value, datetime):
        return value.timestamp()
    return _float(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Malformed("a number was expected")
    return value


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _tagged(value: Any) -> cbor2.CBORTag:
    return cbor2.CBORTag(1, scalars.write_unix(value))


class CborCodec(Codec):
    protocol = "smithy-rpc-v2-cbor"

    @cached_property
    def _read(self) -> Compiled | None:
        return CborReader().compile(self.input) if self.input else None

    @cached_property
    def _writers(self) -> dict[bool, Compiled]:
        return {strict: CborWriter(strict).compile(self.output) for strict in (False, True)} if self.output else {}

    def read(self, route: Route, request: HttpRequest, body: bytes) -> dict[str, Any]:
        value = loads(body) if body else {}
        return {} if self._read is None else self._read(value)

    def serialise(self, response: dict[str, Any], request_id: str, strict: bool = False) -> HttpResponse:
        headers = [("x-amzn-requestid", request_id), *_HEADERS]
        if self.event_stream is not None:
            name, shape = self.event_stream
            headers[-1] = ("content-type", eventstream.CONTENT_TYPE)
            first = {key: value for key, value in response.items() if key != name}
            return HttpResponse(200, headers, eventstream.cbor_frames(shape, response.get(name), dumps(self._writers[strict](first))))
        if self.output is None:
            if response and strict:
                raise UnmodelledMember(f"{self.operation} answers nothing, not {list(response)}")
            return HttpResponse(200, headers[:-1], b"")
        return HttpResponse(200, headers, dumps(self._writers[strict](response)))

    def error(self, error: ApiError, request_id: str) -> HttpResponse:
        return cbor_error(self.model, error, request_id, self.operation)


def cbor_error(model: Model | None, error: ApiError, request_id: str, operation: str | None = None) -> HttpResponse:
    shape = error_shape(model, error, operation)
    kind, headers = error_kind(model, shape, error)
    body: dict[str, Any] = {"__type": kind, message_member(shape): error.message}
    if shape is not None:
        body.update(CborWriter().compile(shape)(error.fields))
    headers += [("x-amzn-requestid", request_id), ("x-amzn-errortype", kind), *_HEADERS, *error_headers(error)]
    return HttpResponse(error.status, headers, dumps(body))
