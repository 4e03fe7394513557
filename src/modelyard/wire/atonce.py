"""A call without a task, for operations that offer it (`kernel.service.AtOnce`) and requests that are here whole.

The steps, their order and the functions are those of `Gateway.handle`; nothing waits, so nothing needs a coroutine. Whatever is not
the plain case, a request that will be refused among it, is left to `handle`: it looks at the same request from the start.
A request like one that was taken before (`wire/alike.py`) skips what cannot come out otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from modelyard.kernel import models
from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.wire import answer, payload, sigv4
from modelyard.wire.alike import Likeness, Likenesses, take_apart
from modelyard.wire.body import InflowBody
from modelyard.wire.exchange import Exchange
from modelyard.wire.http import HttpRequest, HttpResponse
from modelyard.wire.requestid import new_request_id

if TYPE_CHECKING:
    from modelyard.wire.gateway import Gateway, Plan

log = logging.getLogger("modelyard.gateway")
Reply = Callable[["bytes | None", Callable[[], HttpResponse]], None]
"""(all bytes of a small answer that keeps the connection, or None; what makes the answer)"""
ANSWERS_KEPT = 64


class AtOnceCalls:
    """`take(request, body, reply)` and `again(data, client, secure, reply)`: something with `cancel()`, or None. `reply` is called
    later, once, on the loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._paths = tuple(
            models.service_model(service.name)["operations"][operation.name]["http"]["requestUri"].partition("{")[0]
            for service in gateway.platform.services.values()
            for operation in service.operations.values()
            if operation.at_once is not None
        )
        self._likenesses = Likenesses()

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
            if gateway.trail is not None and gateway.trail.wants_data():
                return None  # it is noted on the ordinary path; likenesses fall when trails change
            errand = Errand(gateway, request, route, plan, reply)
            errand.begin(body.peek())
        except Exception:  # refused, or a bug: the ordinary path meets it again, and tells it
            return None
        if errand.work is None:
            return None
        if request.raw and self._likenesses.wanted:
            try:
                self._learn(errand)
            except Exception:
                log.exception("a request was not remembered")
        return errand

    def again(self, data: bytes, client: str, secure: bool, reply: Reply) -> Again | None:
        """A whole request, between others, by its bytes alone. None: nobody looked at it yet."""
        found = self._likenesses.find(data, client, secure, real_now())
        if found is None:
            return None
        likeness, body = found
        platform = self._gateway.platform
        errand = Again(self._gateway, likeness.found, body, reply)
        try:
            if platform.identity.mark() != likeness.found.mark or platform.clock.now() >= likeness.expires_at:
                self._likenesses.forget(likeness)
                return None
            errand.work = likeness.found.start(body, errand.done)
        except Exception:  # the store does not answer, or a bug: the ordinary path meets it again, and tells it
            return None
        return errand if errand.work is not None else None

    def _learn(self, errand: Errand) -> None:
        """Of a request that was taken, remembers what is needed to know the next one like it. The first of all is its own test."""
        request, gateway, codec = errand.request, self._gateway, errand.plan.codec
        bounds, head = codec.blob_bounds, take_apart(request.raw)
        if bounds is None or head is None or request.query or not self._likenesses.again(head, request):
            return
        name, least, most = bounds
        mark = gateway.platform.identity.steady(errand.call, errand.asked)
        if mark is None or not head.loose.keys().isdisjoint(header.encode() for header in codec.header_names):
            return
        scope, credential = errand.claim.of, errand.credential
        likeness = Likeness(head, scope, credential, request, (least, min(most, gateway.limits.gathered_bytes)))
        likeness.found = Found(errand, name, mark)
        if likeness.body(request.raw, real_now()) == errand.asked.get(name, b""):
            self._likenesses.keep(likeness, head.end, request)


class Errand:
    """One such call under way."""

    __slots__ = ("asked", "began", "call", "claim", "credential", "gateway", "plan", "reply", "request", "route", "start", "who", "work")

    def __init__(self, gateway: Gateway, request: HttpRequest, route: Any, plan: Plan, reply: Reply) -> None:
        self.began = monotonic()
        self.gateway, self.request, self.route, self.plan, self.reply = gateway, request, route, plan, reply
        self.work: Any = None

    def begin(self, body: bytes) -> None:
        """`work` stays None where the operation wants its coroutine."""
        gateway, request, plan = self.gateway, self.request, self.plan
        platform, codec, family = gateway.platform, plan.codec, plan.family
        self.claim = claim = sigv4.read_claim(request, family)
        if claim is None or (claim.payload and payload.is_chunked(claim.payload, request)) or len(body) > gateway.limits.gathered_bytes:
            return
        sigv4.check_service(claim, self.route.service, family)
        self.credential = credential = sigv4.check_claim(claim, platform.identity, platform.clock, family)
        self.who = who = sigv4.finish(request, claim, credential, family, body)
        self.call = call = gateway.call(request, new_request_id(), self.route, who)
        self.asked = asked = codec.accept(self.route, request, body)
        platform.identity.authorize(call, asked)
        self.start = plan.operation.at_once.prepare(call, asked)
        self.work = self.start(body, self.done)

    def done(self, outcome: Any) -> None:
        self.work = None  # it knows us too: a cycle would stay until the garbage collector comes by
        response, call = respond(self.gateway, self.plan, self.call, self.asked, outcome), self.call
        note(self.gateway, self.request, response.status, self.began, call.request_id, self.route.name, call.principal.arn)
        if self.gateway.trail is not None and response.status < 400:
            self.gateway.trail.passed(call.request_id, call, self.gateway.platform.identity.needs(call, self.asked))
        self.reply(answer.small(response), lambda: response)

    def cancel(self) -> None:
        """The client is gone: nobody is told, and nothing is logged, as with a task that is cancelled."""
        self.work.cancel()


class Found:
    """What was made of a request, but for its payload, and holds for those that are like it."""

    __slots__ = (
        "alike",
        "answers",
        "arn",
        "asked",
        "call",
        "exchange",
        "mark",
        "needs",
        "payload",
        "plan",
        "request",
        "route",
        "start",
        "who",
    )

    def __init__(self, errand: Errand, payload_member: str, mark: Any) -> None:
        self.route, self.plan, self.who, self.start = errand.route, errand.plan, errand.who, errand.start
        body = InflowBody.here(None, b"", 0, lambda stop: None)  # its own would keep its connection
        self.request = replace(errand.request, body=body, raw=b"")
        self.exchange = Exchange(self.request, body)
        self.payload, self.mark, self.arn = payload_member, mark, errand.call.principal.arn
        self.asked = {name: value for name, value in errand.asked.items() if name != payload_member}
        self.call = errand.call
        self.needs = errand.gateway.platform.identity.needs(errand.call, self.asked)
        self.alike = errand.plan.operation.at_once.alike
        self.answers: dict[Any, answer.Kept] = {}


class Again:
    """A call that is like one before."""

    __slots__ = ("_body", "_found", "_gateway", "_reply", "began", "work")

    def __init__(self, gateway: Gateway, found: Found, body: bytes, reply: Reply) -> None:
        self.began = monotonic()
        self._gateway, self._found, self._body, self._reply = gateway, found, body, reply
        self.work: Any = None

    @property
    def exchange(self) -> Exchange:
        """What the connection goes by: the one before, with its body here."""
        return self._found.exchange

    def done(self, outcome: Any) -> None:
        self.work = None
        found, request_id = self._found, new_request_id()
        response, kept, same = None, None, found.alike(outcome)
        if same is not None and len(same[1]) <= answer.SMALL_FILE:
            kept = found.answers.get(same[0])
            if kept is None or kept.second != int(real_now()):
                response = self._response(outcome, request_id)
                kept = self._keep(same, response, request_id)
        else:
            response = self._response(outcome, request_id)
        if kept is not None:
            start, status = kept.filled(request_id, same[1]), kept.status
        else:
            start, status = answer.small(response), response.status
        note(self._gateway, found.request, status, self.began, request_id, found.route.name, found.arn)
        if self._gateway.trail is not None and status < 400:
            self._gateway.trail.passed(request_id, found.call, found.needs)
        self._reply(start, lambda: response or self._response(outcome, request_id))

    def _keep(self, same: tuple[Any, bytes], response: HttpResponse, request_id: str) -> answer.Kept | None:
        """The head of this answer, for those whose outcome is alike; None: it is no plain answer after all."""
        answers = self._found.answers
        if response.body != same[1] or answer.small(response) is None:
            return None
        if len(answers) >= ANSWERS_KEPT:
            answers.clear()
        kept = answers[same[0]] = answer.Kept(response, request_id)
        return kept

    def _response(self, outcome: Any, request_id: str) -> HttpResponse:
        gateway, found = self._gateway, self._found
        call = gateway.call(found.request, request_id, found.route, found.who)
        return respond(gateway, found.plan, call, {**found.asked, found.payload: self._body}, outcome)

    def cancel(self) -> None:
        self.work.cancel()


def respond(gateway: Gateway, plan: Plan, call: Any, asked: dict[str, Any], outcome: Any) -> HttpResponse:
    try:
        said = plan.operation.at_once.finish(call, asked, outcome)
        return plan.codec.serialise(said, call.request_id, gateway.platform.settings.strict)
    except ApiError as error:
        return plan.codec.error(error, call.request_id)
    except Exception as problem:
        return plan.codec.error(gateway.broken(problem, call.request_id), call.request_id)


def note(gateway: Gateway, request: HttpRequest, status: int, began: float, request_id: str, name: str, arn: str) -> None:
    if gateway.access_log is not None:
        gateway.access_log.add(request, status, monotonic() - began, request_id, name, arn)
