"""InvokeEndpoint: one request, one whole answer."""

from __future__ import annotations

import asyncio
from typing import Any

from modelyard.kernel.service import Body
from modelyard.services.sagemaker_runtime import api, container


@api.operation
async def invoke_endpoint(call, request):
    body = request.get("Body", b"")
    if not isinstance(body, bytes):
        body = await whole(body)
    return finish(call, request, await call.platform.invoker.invoke(*_place(call, request), *_checked(request, body), **_told(request)))


def begin(call, request, tell):
    """The same without a coroutine; None where the endpoint needs one."""
    body = request.get("Body", b"")
    return call.platform.invoker.begin(*_place(call, request), *_checked(request, body), tell, **_told(request))


def finish(call, request, outcome) -> dict[str, Any]:
    error = container.problem(call, request, outcome)
    if error is not None:
        raise error
    return {"Body": outcome.body, **answer_headers(outcome)}


api.at_once("InvokeEndpoint", begin, finish)


def _place(call, request) -> tuple[str, str, str]:
    return call.account, call.region, request["EndpointName"]


def _checked(request: dict[str, Any], body: bytes) -> tuple[bytes, bytes]:
    """Header lines and body for the container."""
    container.check_size(body)
    container.refuse_not_built(request)
    return container.header_lines(request), body


def _told(request: dict[str, Any]) -> dict[str, Any]:
    return {
        "target": request.get("TargetVariant"),
        "content_type": request.get("ContentType", ""),
        "inference_id": request.get("InferenceId"),
        "attributes": request.get("CustomAttributes"),
        "wants": container.wants(request),
    }


async def whole(body: Any) -> bytes:
    """The payload as bytes, reading at most one byte more than may be sent."""
    if not isinstance(body, Body):
        return bytes(body)
    return await asyncio.to_thread(_read, body)


def _read(body: Body) -> bytes:
    pieces, size = [], 0
    while piece := body.read():
        pieces.append(piece)
        size += len(piece)
        if size > container.MOST_BODY_BYTES:
            break
    return b"".join(pieces)


def answer_headers(outcome: Any) -> dict[str, str]:
    """Members of the response that come from the container's headers and the choice of the variant."""
    answer, headers = {"InvokedProductionVariant": outcome.variant.name}, outcome.headers
    for name, member in _MEMBERS:
        if name in headers:
            answer[member] = headers[name].decode("latin-1")
    return answer


_MEMBERS = (
    (b"content-type", "ContentType"),
    (b"x-amzn-sagemaker-custom-attributes", "CustomAttributes"),
    (b"x-amzn-sagemaker-new-session-id", "NewSessionId"),
    (b"x-amzn-sagemaker-closed-session-id", "ClosedSessionId"),
)
