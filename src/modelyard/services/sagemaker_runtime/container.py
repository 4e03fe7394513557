"""The contract between SageMaker and a model container, as far as one call needs it: the header lines of
`POST /invocations`, and what AWS tells the caller when the container did not answer well.

Source: "Use your own inference code with hosting services" and the errors of the sagemaker-runtime model; the
message texts are those that users quote from real endpoints.
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.sagemaker_runtime import api

HEADERS = (
    ("ContentType", "Content-Type"),
    ("Accept", "Accept"),
    ("CustomAttributes", "X-Amzn-SageMaker-Custom-Attributes"),
    ("TargetVariant", "X-Amzn-SageMaker-Target-Variant"),
    ("InferenceId", "X-Amzn-SageMaker-Inference-Id"),
    ("SessionId", "X-Amzn-SageMaker-Session-Id"),
)
NOT_BUILT = ("TargetModel", "TargetContainerHostname", "InferenceComponentName", "EnableExplanations")
_NOT_BUILT = frozenset(NOT_BUILT)
MOST_BODY_BYTES = 6_291_456
MOST_MESSAGE_CHARACTERS = 2048
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for each "
    "container in Amazon CloudWatch, resolve the issue, and try again."
)


def header_lines(request: dict[str, Any]) -> bytes:
    """The request headers a container sees, each line ended by CRLF."""
    lines = []
    for member, name in HEADERS:
        value = request.get(member)
        if value:
            if "\r" in value or "\n" in value:
                raise api.error.ValidationError(f"{member} must not contain line breaks.")
            lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1", "replace")


def refuse_not_built(request: dict[str, Any]) -> None:
    """Members that ask for kinds of endpoints that are not built: an error, never a call to the wrong model."""
    if _NOT_BUILT.isdisjoint(request):
        return
    for member in NOT_BUILT:
        if request.get(member):
            raise api.error.ValidationError(
                f"Modelyard has not built {member} yet: its endpoints run one container with one model per variant. The model was not called."
            )


def check_size(body: bytes) -> None:
    """What the wire checks by the model already, for calls that did not come by wire."""
    if len(body) > MOST_BODY_BYTES:
        raise api.error.ValidationError(
            "1 validation error detected: Value at 'body' failed to satisfy constraint: "
            f"Member must have length less than or equal to {MOST_BODY_BYTES}"
        )


def problem(call, request: dict[str, Any], outcome: Any) -> ApiError | None:
    """The error for an outcome of the data plane, None for a good answer."""
    if outcome.kind == "answered" and 200 <= outcome.status < 300:
        return None
    match outcome.kind:
        case "answered":
            return _model_error(call, outcome.table.endpoint, outcome.status, outcome.body.decode("utf-8", "replace"))
        case "timeout":
            return _model_error(call, outcome.table.endpoint, 0, TIMED_OUT)
        case "broken":
            return _model_error(call, outcome.table.endpoint, 500, f"The container ended the connection: {outcome.detail}.")
        case "no-endpoint":
            return api.error.ValidationError(f"Endpoint {request['EndpointName']} of account {call.account} not found.")
        case "asynchronous":
            return api.error.ValidationError(
                f"Endpoint {outcome.table.endpoint} of account {call.account} is an asynchronous inference endpoint. Use the InvokeEndpointAsync API."
            )
        case "no-variant":
            return api.error.ValidationError(
                f"Variant {request['TargetVariant']} not found for endpoint {outcome.table.endpoint} of account {call.account}."
            )
        case "throttled":
            # AWS: 429, which clients take for throttling; the model of the service does not list it.
            return ApiError(
                "ThrottlingException",
                f"Rate exceeded: the serverless endpoint has {outcome.variant.most_at_once} requests under way, its MaxConcurrency.",
                429,
            )
        case "full":
            return api.error.ServiceUnavailable("The endpoint has more requests under way than it can queue. Please try again.")
        case _:
            return api.error.ServiceUnavailable("The endpoint has no healthy instance for this request. Please try again.")


def _model_error(call, endpoint: str, status: int, message: str) -> ApiError:
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    side = "client" if 400 <= status < 500 else "server"
    quoted = message[:MOST_MESSAGE_CHARACTERS]
    text = (
        f'Received {side} error ({status}) from primary with message "{quoted}". See https://{call.region}.console.aws.amazon.com/cloudwatch/'
        f"home?region={call.region}#logEventViewer:group={group} in account {call.account} for more information."
    )
    arn = f"arn:aws:logs:{call.region}:{call.account}:log-group:{group}"
    return api.error.ModelError(text, OriginalStatusCode=status, OriginalMessage=quoted, LogStreamArn=arn)
