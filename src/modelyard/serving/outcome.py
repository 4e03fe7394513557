"""What became of an invocation, and what a caller may ask for beside it."""

from __future__ import annotations

from dataclasses import dataclass

from modelyard.serving.routes import RouteTable, Variant
from modelyard.serving.upstream import PartStream


@dataclass(slots=True)
class Outcome:
    """What became of an invocation. `kind`:

    answered     the model answered: `status`, `headers` (lower-case byte names), `body` or `stream`
    asynchronous nothing was sent: the endpoint takes only InvokeEndpointAsync
    no-endpoint, no-variant, no-replica, full   nothing was sent
    refused      the variant's kind of endpoint cannot be called so; `detail` is AWS's reason: needs-model, no-models, needs-container,
                 no-containers, no-container
    throttled    nothing was sent: a serverless variant has as many calls under way as it may
    no-model     the target model cannot be brought; `detail` says why
    not-ready    the target model is still on its way
    timeout      the model did not answer in the variant's time
    broken       the connection to the model broke before a whole answer; `detail` says how

    `container` is the container that the outcome is of, as AWS's messages name it.
    """

    kind: str
    table: RouteTable | None = None
    variant: Variant | None = None
    status: int = 0
    headers: dict[bytes, bytes] | None = None
    body: bytes = b""
    stream: PartStream | None = None
    detail: str = ""
    container: str = "primary"
    waited_s: float = 0.0
    """For an instance of a serverless variant to be there."""
    replica: str = ""
    """The id of the replica that had it, of variants with enhanced metrics."""

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name) if self.headers else None
        return None if value is None else value.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Wants:
    """TargetModel, TargetContainerHostname and InferenceComponentName of a request."""

    model: str | None = None
    hostname: str | None = None
    component: str | None = None


NOTHING = Wants()


def refusal(variant: Variant, wants: Wants) -> str:
    """Why a variant of this kind cannot be called so; empty where it can."""
    if variant.mode == "Components":
        return "needs-component"
    many = bool(variant.extra and variant.extra.get("models"))
    if wants.model and not many:
        return "no-models"
    if many and not wants.model:
        return "needs-model"
    if wants.hostname and variant.mode != "Direct":
        return "no-containers"
    if variant.mode != "Direct":
        return ""
    if not wants.hostname:
        return "needs-container"
    known = {name for r in variant.replicas for name in (r.hostname, *(s.hostname for s in r.stages))}
    return "" if wants.hostname in known or not known else "no-container"
