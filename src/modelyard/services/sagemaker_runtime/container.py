"""The contract between SageMaker and a model container, as far as one call needs it: the header lines of
`POST /invocations`, and what AWS tells the caller when the container did not answer well.

Source: "Use your own inference code with hosting services" and the errors of the sagemaker-runtime model; the
message texts are those that users quote from real endpoints.
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.sagemaker_runtime import api
from modelyard.serving.outcome import NOTHING, Wants

HEADERS = (
    ("ContentType", "Content-Type"),
    ("Accept", "Accept"),
    ("CustomAttributes", "X-Amzn-SageMaker-Custom-Attributes"),
    ("TargetVariant", "X-Amzn-SageMaker-Target-Variant"),
    ("InferenceId", "X-Amzn-SageMaker-Inference-Id"),
    ("SessionId", "X-Amzn-SageMaker-Session-Id"),
    ("InferenceComponentName", "X-Amzn-SageMaker-Inference-Component"),
)
NOT_BUILT = ("EnableExplanations",)
_NOT_BUILT = frozenset(NOT_BUILT)
MOST_BODY_BYTES = 6_291_456
MOST_MESSAGE_CHARACTERS = 2048
TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container {}. Review the latency metrics for each "
    "container in Amazon CloudWatch, resolve the issue, and try again."
)

NO_COPIES = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if configured) or try to increase "
    "the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)
NEEDS_COMPONENT = (
    "Inference Component Name header is required for endpoints to which you plan to deploy inference components. Please include Inference "
    "Component Name header or consider using SageMaker models."
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


def wants(request: dict[str, Any]) -> Wants:
    """Which model, container or component of the endpoint the caller asks for."""
    model, hostname, component = (request.get(m) for m in ("TargetModel", "TargetContainerHostname", "InferenceComponentName"))
    if not model and not hostname and not component:
        return NOTHING
    if model and not model.isprintable():
        raise api.error.ValidationError("TargetModel must not contain control characters.")
    return Wants(model, hostname, component)


def refuse_not_built(request: dict[str, Any]) -> None:
    """Members that ask for kinds of endpoints that are not built: an error, never a call to the wrong model."""
    if _NOT_BUILT.isdisjoint(request):
        return
    for member in NOT_BUILT:
        if request.get(member):
            raise api.error.ValidationError(f"Modelyard has not built {member} yet. The model was not called.")


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
            return _model_error(call, outcome, outcome.status, outcome.body.decode("utf-8", "replace"))
        case "timeout":
            return _model_error(call, outcome, 0, TIMED_OUT.format(outcome.container))
        case "broken":
            return _model_error(call, outcome, 500, f"The container ended the connection: {outcome.detail}.")
        case "refused":
            return api.error.ValidationError(_refused(call, request, outcome))
        case "no-model":
            return api.error.ValidationError(outcome.detail)
        case "not-ready":
            return api.error.ModelNotReadyException(
                f"Model {request.get('TargetModel')} of endpoint {outcome.table.endpoint} is still being downloaded or loaded. Please wait and try again."
            )
        case "no-endpoint":
            return api.error.ValidationError(f"Endpoint {request['EndpointName']} of account {call.account} not found.")
        case "no-component":
            return api.error.ValidationError(
                f"Inference component {request['InferenceComponentName']} of account {call.account} not found on endpoint {request['EndpointName']}."
            )
        case "no-replica" if outcome.variant is not None and outcome.variant.component:
            return api.error.ValidationError(NO_COPIES)
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


def _refused(call, request: dict[str, Any], outcome: Any) -> str:
    """AWS's texts for a target that the endpoint's kind does not have, or needs."""
    endpoint = outcome.table.endpoint
    match outcome.detail:
        case "needs-component":
            return NEEDS_COMPONENT
        case "needs-model":
            return f"Request {call.request_id} is missing a target model header."
        case "no-models":
            return f"Endpoint {endpoint} is not a multi-model endpoint and does not support target model header."
        case "needs-container":
            return f"Request {call.request_id} is missing a target container hostname header: endpoint {endpoint} is for direct invocation."
        case "no-containers":
            return f"Endpoint {endpoint} is not configured for direct invocation and does not support target container hostname header."
        case _:
            hostname = request["TargetContainerHostname"]
            return f"Container with hostname {hostname} not found for endpoint {endpoint} of account {call.account}."


def _model_error(call, outcome: Any, status: int, message: str) -> ApiError:
    endpoint = outcome.table.endpoint
    component = outcome.variant.component if outcome.variant is not None else ""
    group = f"/aws/sagemaker/InferenceComponents/{component}" if component else f"/aws/sagemaker/Endpoints/{endpoint}"
    side = "client" if 400 <= status < 500 else "server"
    quoted = message[:MOST_MESSAGE_CHARACTERS]
    text = (
        f'Received {side} error ({status}) from {outcome.container} with message "{quoted}". See https://{call.region}.console.aws.amazon.com/cloudwatch/'
        f"home?region={call.region}#logEventViewer:group={group} in account {call.account} for more information."
    )
    arn = f"arn:aws:logs:{call.region}:{call.account}:log-group:{group}"
    return api.error.ModelError(text, OriginalStatusCode=status, OriginalMessage=quoted, LogStreamArn=arn)
