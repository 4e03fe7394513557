"""A router and codec of three JSON operations, so that the front door is tested without the real wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Body
from modelyard.wire.http import HttpRequest, HttpResponse


@dataclass(frozen=True)
class Route:
    service: str
    operation: str
    protocol: str
    path_values: dict[str, str] = field(default_factory=dict)
    query: dict[str, list[str]] = field(default_factory=dict)


class NeedsBody(Exception):
    """As the real router's."""


def route(request: HttpRequest, services: Any, body: bytes | None = None) -> Route:
    """S3's PUT and GET by path; anything else is a SageMaker call by its target."""
    target = request.header("x-amz-target")
    if target:
        return Route("sagemaker", target.partition(".")[2], "json")
    names = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject"}
    if request.method not in names:
        raise ApiError("MethodNotAllowed", "The specified method is not allowed against this resource.", 405)
    bucket, _, key = request.path.lstrip("/").partition("/")
    return Route("s3", names[request.method], "rest-xml", {"Bucket": bucket, "Key": key})


class JsonCodec:
    streams_out = False

    def __init__(self, operation: str) -> None:
        self.streams_in = operation == "PutObject"

    def parse(self, route: Route, request: HttpRequest, body: bytes | Body) -> dict[str, Any]:
        if route.service == "s3":
            return {**route.path_values, **({"Body": body} if self.streams_in else {})}
        try:
            return orjson.loads(body or b"{}")
        except orjson.JSONDecodeError:
            raise ApiError("SerializationException", "The request is not valid JSON.", 400) from None

    def validate(self, parsed: dict[str, Any]) -> None:
        """The fake has no constraints."""

    def serialise(self, response: dict[str, Any], request_id: str, strict: bool = False) -> HttpResponse:
        headers = [("x-amzn-requestid", request_id), ("content-type", "application/x-amz-json-1.1")]
        if "Body" in response:
            return HttpResponse(200, headers, response["Body"])
        return HttpResponse(200, headers, orjson.dumps(response) if response else b"")

    def error(self, error: ApiError, request_id: str) -> HttpResponse:
        headers = [("x-amzn-requestid", request_id), ("x-amzn-errortype", error.code)]
        return HttpResponse(error.status, headers, orjson.dumps({"__type": error.code, "message": error.message}))


def codec(service: str, operation: str, protocol: str) -> JsonCodec:
    return JsonCodec(operation)


ROUTER = (route, NeedsBody)
