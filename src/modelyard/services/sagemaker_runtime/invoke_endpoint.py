"""InvokeEndpoint: one request, one whole answer."""

from __future__ import annotations

import asyncio
from typing import Any

from modelyard.kernel.service import Body
from modelyard.services.sagemaker_runtime import api, container
from modelyard.serving.outcome import NOTHING


@api.operation
async def invoke_endpoint(call, request):
    body = request.get("Body", b"")
    if not isinstance(body, bytes):
        body = await whole(body)
    invoker, head = call.platform.parts["invoker"], _checked(request, body)
    return finish(call, request, await invoker.invoke(call.account, call.region, request["EndpointName"], head, body, **_told(request)))


def prepare(call, request):
    """The same without a coroutine: what begins it, with a body that is not too large."""
    invoker, head = call.platform.parts["invoker"], _checked(request, b"")
    return invoker.prepare(call.account, call.region, request["EndpointName"], head, **_told(request))


def finish(call, request, outcome) -> dict[str, Any]:
    error = container.problem(call, request, outcome)
    if error is not None:
        raise error
    return {"Body": outcome.body, **answer_headers(outcome)}


def alike(outcome) -> tuple[tuple, bytes] | None:
    """The answers to a request that repeats are the same but for the body, where these are."""
    if outcome.kind != "answered" or not 200 <= outcome.status < 300:
        return None
    return (outcome.variant.name, *map(outcome.headers.get, _NAMES)), outcome.body


api.at_once("InvokeEndpoint", prepare, finish, alike)


def _checked(request: dict[str, Any], body: bytes) -> bytes:
    """The header lines for the container, of a request that may be sent."""
    container.check_size(body)
    container.refuse_not_built(request)
    return container.header_lines(request)


def _told(request: dict[str, Any]) -> dict[str, Any]:
    """What the data plane needs to know beside the header lines, under the names of `Invoker.invoke`."""
    told = {name: request[member] for member, name in _TOLD if member in request}
    return told if (wants := container.wants(request)) is NOTHING else {**told, "wants": wants}


_TOLD = (("TargetVariant", "target"), ("ContentType", "content_type"), ("InferenceId", "inference_id"), ("CustomAttributes", "attributes"))


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
_NAMES = tuple(name for name, _ in _MEMBERS)
