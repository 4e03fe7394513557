"""InvokeEndpointAsync: checks, writes the request into the queue, answers where the result will be. The driver in the engine does
the rest (serving/asynchronous/)."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from uuid import uuid4

from modelyard.services.sagemaker_runtime import api, container

TTL_SECONDS, TIMEOUT_SECONDS = 21_600, 900
MOST_INLINE_BYTES = 128_000
HEADERS_OF_ITS_OWN = ("ContentType", "TargetVariant", "SessionId")


@api.operation
async def invoke_endpoint_async(call, request):
    table = await call.platform.invoker.table(call.account, call.region, request["EndpointName"])
    if table is None:
        raise api.error.ValidationError(f"Endpoint {request['EndpointName']} of account {call.account} not found.")
    if table.asynchronous is None:
        raise api.error.ValidationError(
            f"Endpoint {table.endpoint} of account {call.account} is not an asynchronous inference endpoint. Use the InvokeEndpoint API."
        )
    uid, now = str(uuid4()), call.now()
    written = _request(request, table, uid)
    expires_at = now + request.get("RequestTTLSeconds", TTL_SECONDS)
    queue, incarnation = call.platform.async_queue, table.asynchronous["incarnation"]
    await asyncio.to_thread(queue.accept, uid, table.key, incarnation, call.account, call.region, now, expires_at, written)
    call.platform.ring("async")
    answer = {"InferenceId": written["inference_id"], "OutputLocation": written["output"], "FailureLocation": written["failure"]}
    return {member: value for member, value in answer.items() if value}


def _request(request: dict[str, Any], table: Any, uid: str) -> dict[str, Any]:
    """What the driver needs to know: see serving/asynchronous/queue.py. Places and topics are those of now, for they are promised now."""
    config = table.asynchronous
    output = config["OutputConfig"]
    notify = output.get("NotificationConfig") or {}
    inference_id = request.get("InferenceId") or str(uuid4())
    name, extension = request.get("Filename"), request.get("S3OutputPathExtension", "").strip("/")
    headers = {k: v for k, v in request.items() if k not in HEADERS_OF_ITS_OWN} | {"InferenceId": inference_id}
    return {
        "endpoint": table.endpoint,
        "role": config["role"],
        "body": _inline(request),
        "input": _location(request),
        "headers": container.header_lines(headers).decode("latin-1"),
        "content_type": request.get("ContentType"),
        "accept": request.get("Accept"),
        "attributes": request.get("CustomAttributes"),
        "inference_id": inference_id,
        "timeout_s": request.get("InvocationTimeoutSeconds", TIMEOUT_SECONDS),
        "output": _place(output.get("S3OutputPath"), extension, name or f"{uid}.out"),
        "failure": _place(output.get("S3FailurePath"), extension, _failure_name(name) if name else f"{uid}-error.out"),
        "named": bool(name),
        "success_topic": notify.get("SuccessTopic"),
        "error_topic": notify.get("ErrorTopic"),
        "include": notify.get("IncludeInferenceResponseIn", []),
        "kms": output.get("KmsKeyId"),
    }


def _inline(request: dict[str, Any]) -> str | None:
    body = request.get("Body")
    if not body:
        if not request.get("InputLocation"):
            raise api.error.ValidationError("Provide exactly one of InputLocation and Body: the request has neither.")
        return None
    if request.get("InputLocation"):
        raise api.error.ValidationError("Provide exactly one of InputLocation and Body: the request has both.")
    if len(body) > MOST_INLINE_BYTES:
        raise api.error.ValidationError(
            "1 validation error detected: Value at 'body' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MOST_INLINE_BYTES}"
        )
    return base64.b64encode(body).decode()


def _location(request: dict[str, Any]) -> str | None:
    """Whether the object is there shows when it is read, as on AWS: here only that it can be a place in S3."""
    uri = request.get("InputLocation")
    if uri is None:
        return None
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket or not key:
        raise api.error.ValidationError(f"InputLocation {uri} is not the S3 URI of an object: s3://bucket/key.")
    return uri


def _place(folder: str | None, extension: str, name: str) -> str | None:
    return "/".join(part for part in (folder.rstrip("/"), extension, name) if part) if folder else None


def _failure_name(name: str) -> str:
    """`result.json` → `result-error.json`: beside an output of the same name where both paths are one."""
    stem, dot, kind = name.rpartition(".")
    return f"{stem}-error.{kind}" if dot else f"{name}-error"
