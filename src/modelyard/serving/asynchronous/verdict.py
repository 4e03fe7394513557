"""The words and figures of an ended request: error texts, the notification, the log line, metric data. Pure.

Sources: "Check prediction results" and "Alarms and logs for tracking metrics from asynchronous endpoints" of the SageMaker AI
developer guide; messages as users quote them from real endpoints.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modelyard.serving.asynchronous.queue import Done, Item

NAMESPACE = "AWS/SageMaker"
MOST_INCLUDED_BYTES = 128 << 10
"""A response goes into a notification only up to 128 KB."""
MOST_MESSAGE_CHARACTERS = 2048
SEE = "See the SageMaker Endpoint logs in your account for more information."
SUCCESS, ERROR = "SUCCESS_NOTIFICATION_TOPIC", "ERROR_NOTIFICATION_TOPIC"


@dataclass
class Verdict:
    """How a request ended. `reason` is empty for a good end; `text` is told in the log, and in the failure object where
    the model answered nothing. `kind`: completed, model
    (it answered an error), timeout, expired, download, upload, gone, lost (nobody could hear the model to the end). Durations as in the
    metric names."""

    kind: str
    reason: str = ""
    text: str = ""
    status: int = 0
    content_type: str = ""
    body: bytes | None = None
    model_us: int | None = None
    download_us: int | None = None
    upload_us: int | None = None
    backlog_ms: int | None = None
    notification_failed: str = ""
    failure_not_written: str = ""


# --- how it failed ---------------------------------------------------------------------------------


def model_error(item: Item, status: int, body: bytes, content_type: str) -> Verdict:
    side = "client" if 400 <= status < 500 else "server"
    quoted = body[: 4 * MOST_MESSAGE_CHARACTERS].decode("utf-8", "replace")[:MOST_MESSAGE_CHARACTERS]
    group = f"/aws/sagemaker/Endpoints/{item.request['endpoint']}"
    text = (
        f'Received {side} error ({status}) from primary with message "{quoted}". See https://{item.region}.console.aws.amazon.com/cloudwatch/'
        f"home?region={item.region}#logEventViewer:group={group} in account {item.account} for more information."
    )
    return Verdict("model", f"ClientError: Received {side} error ({status}) from model. {SEE}", text, status, content_type, body)


def timed_out(seconds: float) -> Verdict:
    text = f"The model did not answer within the {seconds:g} seconds of InvocationTimeoutSeconds."
    return Verdict("timeout", f"ClientError: {text} {SEE}", text)


def expired(item: Item) -> Verdict:
    text = f"The request was not processed within its RequestTTLSeconds ({item.expires_at - item.received_at:g} s) and has expired."
    return Verdict("expired", f"ClientError: {text}", text)


def gone(item: Item) -> Verdict:
    text = f"Endpoint {item.request['endpoint']} was deleted before the request was processed."
    return Verdict("gone", f"ClientError: {text}", text)


def lost(problem: str, deliveries: int) -> Verdict:
    text = f"The model was called {deliveries} times and never gave a whole answer: {problem}."
    return Verdict("lost", f"InternalServerError: {text} {SEE}", text, 500)


def not_downloaded(uri: str, code: str, message: str) -> Verdict:
    text = (
        f"Failed to download the request payload from {uri}: {message} ({code}). Please ensure that the object is there and that the execution role "
        "of the model has permissions to read it."
    )
    return Verdict("download", f"ClientError: {text}", text)


def not_uploaded(uri: str, code: str, message: str) -> Verdict:
    text = (
        f"Failed to upload the response to {uri}: {message} ({code}). Please ensure that the bucket is there and that the execution role of the "
        "model has permissions to write to it."
    )
    return Verdict("upload", f"ClientError: {text}", text)


# --- the notification ------------------------------------------------------------------------------


def topic_of(item: Item, verdict: Verdict) -> str | None:
    return item.request.get("error_topic" if verdict.reason else "success_topic")


def message(item: Item, verdict: Verdict, now: float) -> dict[str, Any]:
    """What is published to the topic."""
    request = item.request
    parameters = {"accept": request.get("accept"), "contentType": request.get("content_type"), "endpointName": request["endpoint"]}
    parameters |= {"customAttributes": request.get("attributes"), "inputLocation": request.get("input")}
    told: dict[str, Any] = {
        "awsRegion": item.region,
        "eventTime": _time(now),
        "receivedTime": _time(item.received_at),
        "invocationStatus": "Failed" if verdict.reason else "Completed",
    }
    if verdict.reason:
        told["failureReason"] = verdict.reason
    told["requestParameters"] = {name: value for name, value in parameters.items() if value}
    response = {"contentType": verdict.content_type} if verdict.content_type and not verdict.reason else {}
    location = request.get("failure" if verdict.reason else "output")
    if location and not verdict.failure_not_written:
        response["outputLocation"] = location
    if response:
        told["responseParameters"] = response
    if (ERROR if verdict.reason else SUCCESS) in request.get("include", ()):
        told["responseBody"] = _included(verdict)
    return told | {
        "inferenceId": request["inference_id"],
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def _included(verdict: Verdict) -> dict[str, str]:
    body = verdict.text.encode() if verdict.reason and verdict.body is None else verdict.body
    told = {} if body is None or len(body) > MOST_INCLUDED_BYTES else {"content": base64.b64encode(body).decode()}
    return {**told, "message": "Check S3 path location(if configured) or Cloudwatch for additional details.", "encoding": "BASE64"}


def _time(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


# --- logs and metrics ------------------------------------------------------------------------------


def result(item: Item, verdict: Verdict, now: float) -> dict[str, Any]:
    """What is kept of an ended request until it is in metrics and logs."""
    total_ms = max(0, int((now - item.received_at) * 1000))
    figures = {name: getattr(verdict, name) for name in ("model_us", "download_us", "upload_us", "backlog_ms")}
    kept = {name: value for name, value in figures.items() if value is not None}
    return {
        "at": now,
        "endpoint": item.request["endpoint"],
        "variant": item.variant,
        "replica": item.replica,
        "kind": verdict.kind,
        "status": verdict.status,
        "total_ms": total_ms,
        "line": _line(item, verdict, kept, total_ms),
        "notification_failed": bool(verdict.notification_failed),
        **kept,
    }


def _line(item: Item, verdict: Verdict, figures: Mapping[str, int], total_ms: int) -> str:
    names = {"model_us": "ModelLatency: {} us", "download_us": "RequestDownloadLatency: {} us", "upload_us": "ResponseUploadLatency: {} us"}
    names["backlog_ms"] = "TimeInBacklog: {} ms"
    told = ", ".join(
        [text.format(figures[name]) for name, text in names.items() if name in figures] + [f"TotalProcessingTime: {total_ms} ms"]
    )
    end = f"Inference request failed. {verdict.text}" if verdict.reason else "Inference request succeeded."
    more = f" {verdict.failure_not_written}" if verdict.failure_not_written else ""
    more += f" {verdict.notification_failed}" if verdict.notification_failed else ""
    return f"[sagemaker logs] [{item.request['inference_id']}] {end}{more} {told}"


def data_of(done: Iterable[Done]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Metric data by (account, region): one datum per name and variant."""
    counts: dict[tuple[str, str, str, str | None, str, str], dict[float, int]] = {}
    ends: dict[str, float] = {}
    names: dict[str, str] = {}
    for one in done:
        ends[one.endpoint] = max(ends.get(one.endpoint, 0.0), one.result["at"])
        names[one.endpoint] = one.result["endpoint"]
        for name, unit, value in _data(one.result):
            values = counts.setdefault((one.account, one.region, one.endpoint, one.result["variant"], name, unit), {})
            values[value] = values.get(value, 0) + 1
    data: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for (account, region, endpoint, variant, name, unit), values in counts.items():
        dimensions = [{"Name": "EndpointName", "Value": names[endpoint]}]
        dimensions += [{"Name": "VariantName", "Value": variant}] if variant else []
        row = {"MetricName": name, "Dimensions": dimensions, "Timestamp": ends[endpoint], "Unit": unit}
        data.setdefault((account, region), []).append({**row, "Values": list(values), "Counts": list(values.values())})
    return data


def _data(end: Mapping[str, Any]) -> Iterable[tuple[str, str, float]]:
    kind, status = end["kind"], end["status"]
    yield "InvocationsProcessed", "Count", 1.0
    yield "InvocationFailures", "Count", float(kind != "completed")
    yield "ExpiredRequests", "Count", float(kind == "expired")
    yield "RequestDownloadFailures", "Count", float(kind == "download")
    yield "ResponseUploadFailures", "Count", float(kind == "upload")
    yield "NotificationFailures", "Count", float(end["notification_failed"])
    if status or kind in ("timeout", "lost"):
        yield "Invocation4XXErrors", "None", float(400 <= status < 500)
        yield "Invocation5XXErrors", "None", float(status >= 500 or kind == "timeout")
    for name, key, unit in (
        ("ModelLatency", "model_us", "Microseconds"),
        ("RequestDownloadLatency", "download_us", "Microseconds"),
        ("ResponseUploadLatency", "upload_us", "Microseconds"),
        ("TimeInBacklog", "backlog_ms", "Milliseconds"),
        ("TotalProcessingTime", "total_ms", "Milliseconds"),
    ):
        if key in end:
            yield name, unit, float(end[key])
