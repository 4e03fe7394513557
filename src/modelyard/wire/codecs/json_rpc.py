"""The protocols `json` 1.0 and 1.1: X-Amz-Target says the operation, bodies are JSON."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from modelyard.kernel.errors import ApiError
from modelyard.wire.codecs import eventstream
from modelyard.wire.codecs.base import Codec
from modelyard.wire.codecs.common import Compiled, UnmodelledMember, error_headers, error_shape, message_member
from modelyard.wire.codecs.json import JsonReader, JsonWriter, dumps, loads
from modelyard.wire.http import Headers, HttpRequest, HttpResponse
from modelyard.wire.shapes import Model, Shape

if TYPE_CHECKING:
    from modelyard.wire.routing import Route


class JsonCodec(Codec):
    protocol = "json"

    @cached_property
    def _read(self) -> Compiled | None:
        return JsonReader().compile(self.input) if self.input else None

    @cached_property
    def _writers(self) -> dict[bool, Compiled]:
        return {strict: JsonWriter(strict).compile(self.output) for strict in (False, True)} if self.output else {}

    def read(self, route: Route, request: HttpRequest, body: bytes) -> dict[str, Any]:
        value = loads(body) if body else {}
        return {} if self._read is None else self._read({} if value is None else value)

    def serialise(self, response: dict[str, Any], request_id: str, strict: bool = False) -> HttpResponse:
        headers = [("x-amzn-requestid", request_id), ("content-type", content_type(self.model))]
        if self.event_stream is not None:
            name, shape = self.event_stream
            headers[1] = ("content-type", eventstream.CONTENT_TYPE)
            first = {key: value for key, value in response.items() if key != name}
            frames = eventstream.json_frames(shape, response.get(name), initial=dumps(self._writers[strict](first)))
            return HttpResponse(200, headers, frames)
        if self.output is None:
            if response and strict:
                raise UnmodelledMember(f"{self.operation} answers nothing, not {list(response)}")
            return HttpResponse(200, headers, b"{}")
        return HttpResponse(200, headers, dumps(self._writers[strict](response)))

    def error(self, error: ApiError, request_id: str) -> HttpResponse:
        return json_error(self.model, error, request_id, self.operation)


def content_type(model: Model | None) -> str:
    return f"application/x-amz-json-{model.metadata.get('jsonVersion', '1.1') if model else '1.1'}"


def json_error(model: Model | None, error: ApiError, request_id: str, operation: str | None = None) -> HttpResponse:
    """`{"__type": …, "message": …}` with x-amzn-errortype, and the old query code where the service moved from there."""
    shape = error_shape(model, error, operation)
    kind, headers = error_kind(model, shape, error)
    body = error_body(shape, error, error.fields)
    headers += [("x-amzn-requestid", request_id), ("x-amzn-errortype", kind), ("content-type", content_type(model))]
    return HttpResponse(error.status, headers + error_headers(error), dumps({"__type": kind, **body}))


def error_kind(model: Model | None, shape: Shape | None, error: ApiError) -> tuple[str, Headers]:
    """What `__type` says, and the header that tells clients the code the query protocol used to have."""
    if model is None or not model.is_query_compatible:
        return error.code, []
    fault = "Sender" if error.sender_fault else "Receiver"
    code = LEGACY_CODES.get((model.name, error.code), error.code)
    return shape.name if shape else error.code, [("x-amzn-query-error", f"{code};{fault}")]


LEGACY_CODES = {
    ("sqs", "QueueDoesNotExist"): "AWS.SimpleQueueService.NonExistentQueue",
    ("sqs", "QueueNameExists"): "QueueAlreadyExists",
    ("sqs", "QueueDeletedRecently"): "AWS.SimpleQueueService.QueueDeletedRecently",
    ("sqs", "BatchEntryIdsNotDistinct"): "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
    ("sqs", "BatchRequestTooLong"): "AWS.SimpleQueueService.BatchRequestTooLong",
    ("sqs", "EmptyBatchRequest"): "AWS.SimpleQueueService.EmptyBatchRequest",
    ("sqs", "InvalidBatchEntryId"): "AWS.SimpleQueueService.InvalidBatchEntryId",
    ("sqs", "MessageNotInflight"): "AWS.SimpleQueueService.MessageNotInflight",
    ("sqs", "PurgeQueueInProgress"): "AWS.SimpleQueueService.PurgeQueueInProgress",
    ("sqs", "TooManyEntriesInBatchRequest"): "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
    ("sqs", "UnsupportedOperation"): "AWS.SimpleQueueService.UnsupportedOperation",
}
"""SQS's codes of its query days, which its model does not carry (API reference, "Error responses")."""


def error_body(shape: Shape | None, error: ApiError, fields: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {message_member(shape): error.message} if error.message else {}
    if shape is not None:
        body.update(JsonWriter().compile(shape)(fields))
    return body
