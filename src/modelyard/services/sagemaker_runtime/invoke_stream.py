"""InvokeEndpointWithResponseStream: the answer goes out part by part as the model sends it."""

from __future__ import annotations

import asyncio

from modelyard.services.sagemaker_runtime import api, container
from modelyard.services.sagemaker_runtime.invoke_endpoint import answer_headers, whole


@api.operation
async def invoke_endpoint_with_response_stream(call, request):
    body = await whole(request.get("Body", b""))
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
        streaming=True,
    )
    error = container.problem(call, request, outcome)
    if error is not None:
        raise error
    answer = answer_headers(outcome)
    return {"Body": _events(outcome.stream), **{k: answer[k] for k in answer if k not in ("NewSessionId", "ClosedSessionId")}}


async def _events(stream):
    """PayloadPart per part; a stream that breaks ends with ModelStreamError (ErrorCode as AWS names them)."""
    try:
        async for part in stream:
            yield {"PayloadPart": {"Bytes": part}}
    except asyncio.CancelledError:
        raise
    except Exception as problem:
        kind = "ModelInvocationTimeExceeded" if type(problem).__name__ == "TimedOut" else "StreamBroken"
        raise api.error.ModelStreamError(f"{problem}.", ErrorCode=kind) from None
    finally:
        stream.close()
