"""A call without a task, for operations that offer it (`kernel.service.AtOnce`) and requests that are here whole.

The steps, their order and the functions are those of `Gateway.handle`; nothing waits, so nothing needs a coroutine. Whatever is not
the plain case, a request that will be refused among it, is left to `handle`: it looks at the same request from the start.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from modelyard.kernel import models
from modelyard.kernel.errors import ApiError
from modelyard.wire import payload, sigv4
from modelyard.wire.body import InflowBody
from modelyard.wire.http import HttpRequest, HttpResponse
from modelyard.wire.requestid import new_request_id

if TYPE_CHECKING:
    from modelyard.wire.gateway import Gateway, Plan

Reply = Callable[[HttpResponse], None]


class AtOnceCalls:
    """`take(request, body, reply)`: something with `cancel()`, or None. `reply` is called later, once, on the loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._paths = tuple(
            models.service_model(service.name)["operations"][operation.name]["http"]["requestUri"].partition("{")[0]
            for service in gateway.platform.services.values()
            for operation in service.operations.values()
            if operation.at_once is not None
        )

    def take(self, request: HttpRequest, body: InflowBody, reply: Reply) -> Errand | None:
        if not request.path.startswith(self._paths):
            return None
        gateway = self._gateway
        route = gateway.known_route(request)
        if route is None:
            return None
        plan = gateway.plan(route)
        at_once = plan.operation.at_once if plan.operation is not None else None
        if at_once is None or gateway.open or plan.codec.streams_in:
            return None
        try:
            errand = Errand(gateway, request, route, plan, reply)
            errand.begin(body.peek())
        except Exception:  # refused, or a bug: the ordinary path meets it again, and tells it
            return None
        return errand if errand.work is not None else None


class Errand:
    """One such call under way."""

    __slots__ = ("asked", "began", "call", "gateway", "plan", "reply", "request", "route", "work")

    def __init__(self, gateway: Gateway, request: HttpRequest, route: Any, plan: Plan, reply: Reply) -> None:
        self.began = monotonic()
        self.gateway, self.request, self.route, self.plan, self.reply = gateway, request, route, plan, reply
        self.work: Any = None

    def begin(self, body: bytes) -> None:
        """`work` stays None where the operation wants its coroutine."""
        gateway, request, plan = self.gateway, self.request, self.plan
        platform, codec, family = gateway.platform, plan.codec, plan.family
        claim = sigv4.read_claim(request, family)
        if claim is None or (claim.payload and payload.is_chunked(claim.payload, request)) or len(body) > gateway.limits.gathered_bytes:
            return
        credential = sigv4.check_claim(claim, platform.identity, platform.clock, family)
        who = sigv4.finish(request, claim, credential, family, body)
        self.call = call = gateway.call(request, new_request_id(), self.route, who)
        self.asked = asked = codec.accept(self.route, request, body)
        platform.identity.authorize(call, asked)
        self.work = plan.operation.at_once.begin(call, asked, self.done)

    def done(self, outcome: Any) -> None:
        gateway, plan, call = self.gateway, self.plan, self.call
        try:
            said = plan.operation.at_once.finish(call, self.asked, outcome)
            response = plan.codec.serialise(said, call.request_id, gateway.platform.settings.strict)
        except ApiError as error:
            response = plan.codec.error(error, call.request_id)
        except Exception as problem:
            response = plan.codec.error(gateway.broken(problem, call.request_id), call.request_id)
        if gateway.access_log is not None:
            took, name = monotonic() - self.began, self.route.name
            gateway.access_log.add(self.request, response.status, took, call.request_id, name, call.principal.arn)
        self.reply(response)

    def cancel(self) -> None:
        """The client is gone: nobody is told, and nothing is logged, as with a task that is cancelled."""
        self.work.cancel()
