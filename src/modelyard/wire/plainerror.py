"""The error of a request that no operation could be found for: no dialect is known, so the most widely understood one."""

from __future__ import annotations

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.wire.http import HttpResponse


def plain_error(error: ApiError, request_id: str) -> HttpResponse:
    body = orjson.dumps({"__type": error.code, "message": error.message})
    headers = [("content-type", "application/json"), ("x-amzn-requestid", request_id), ("x-amzn-errortype", error.code)]
    return HttpResponse(error.status, headers + list(error.headers.items()), body)
