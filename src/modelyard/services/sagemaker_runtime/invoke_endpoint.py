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
    container.check_size(body)
    container.refuse_not_built(request)
    outcome = await call.platform.invoker.invoke(
        call.account,
        call.region,
        request["EndpointName"],
        container.header_lines(request),
        body,
        target=request.get("TargetVariant"),
        wants=container.wants(request),
        content_type=request.get("ContentType", ""),
        inference_id=request.get("InferenceId"),
        attributes=request.get("CustomAttributes"),
    )
    error = container.problem(call, request, outcome)
    if error is not None:
        raise error
    return {"Body": outcome.body, **answer_headers(outcome)}


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
    answer = {"InvokedProductionVariant": outcome.variant.name}
    for member, name in (
        ("ContentType", b"content-type"),
        ("CustomAttributes", b"x-amzn-sagemaker-custom-attributes"),
        ("NewSessionId", b"x-amzn-sagemaker-new-session-id"),
        ("ClosedSessionId", b"x-amzn-sagemaker-closed-session-id"),
    ):
        value = outcome.header(name)
        if value is not None:
            answer[member] = value
    return answer
