"""The one readable path of a call:

route → authenticate → parse + validate → authorise → call → serialise

`Gateway.handle` is one coroutine without a socket in it. Operations that are plain functions run, with everything from parsing
to serialising, in one hop on a thread; `async def` operations run on the loop.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Any

from modelyard.kernel import models
from modelyard.kernel.errors import ApiError, disk_full, internal
from modelyard.kernel.identity import ANONYMOUS
from modelyard.kernel.platform import Platform
from modelyard.kernel.reserve import is_full
from modelyard.kernel.service import Body, BytesBody, Call, Operation
from modelyard.wire import forms, payload, sigv2, sigv4
from modelyard.wire.accesslog import AccessLog
from modelyard.wire.atonce import AtOnceCalls
from modelyard.wire.autherrors import auth_error, family
from modelyard.wire.body import InflowBody, gather
from modelyard.wire.browsers import is_ours, refuse_strangers_pages
from modelyard.wire.crossorigin import CrossOrigin
from modelyard.wire.doors import Doors
from modelyard.wire.http import HttpRequest, HttpResponse
from modelyard.wire.limits import Limits
from modelyard.wire.pages import PREFIX, Pages
from modelyard.wire.plainerror import plain_error
from modelyard.wire.repeats import Repeats
from modelyard.wire.requestid import new_request_id
from modelyard.wire.sigv4 import Authenticated

log = logging.getLogger("modelyard.gateway")
THREADS = 48
ROUTES_KEPT = 4096
BRIEF_BYTES = 32 << 10
"""Bodies up to this size are waited for on the loop, where their operation can be done there."""
_SIGNATURE_BEFORE = "Signature="
_KEY = re.compile(r"(?:Credential=|AWSAccessKeyId=|^AWS )([A-Za-z0-9]{1,128})").search
"""The access key that a request names, in whatever way."""


@dataclass(frozen=True)
class Plan:
    """What is the same for every request of one operation in one protocol."""

    operation: Operation | None
    codec: Any
    family: str
    open_to_all: bool
    """The model says `authtype: none` (AssumeRoleWithWebIdentity), the service does (`Service.unsigned`), or it is S3, where a bucket policy decides."""


class Gateway:
    """`router` is (route, NeedsBody) and `codecs` is codec(service, operation, protocol), from `wire/routing.py` and
    `wire/codec.py` unless a test brings its own. `watch` (kernel/wake.py) makes describes patient; None: they never wait."""

    def __init__(
        self,
        platform: Platform,
        *,
        router: Any = None,
        codecs: Callable[[str, str, str], Any] | None = None,
        watch: Any = None,
        limits: Limits | None = None,
        access_log: AccessLog | None = None,
        threads: int = THREADS,
    ) -> None:
        self.platform, self.watch, self.limits = platform, watch, limits or Limits()
        self.pages = Pages(platform)
        self.doors, self.forms, self.cross_origin = Doors(self), forms.Forms(self), CrossOrigin(self)
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="call")
        self.access_log = access_log
        self.trail = platform.parts.get("trail")
        self.open = platform.settings.auth == "open"
        self._plans: dict[tuple[str, str, str], Plan] = {}
        self._routes: dict[tuple[str, ...], Any] = {}
        self._router, self._codecs = router or _router(), codecs or _codecs()
        at_once, self._repeats = AtOnceCalls(self), Repeats(self)
        self.at_once = at_once.take
        self.again = lambda *request: self._repeats.take(*request) or at_once.again(*request)

    def close(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    # --- the path ----------------------------------------------------------------------------------

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Every answer there is, errors too, comes out here."""
        began, request_id = monotonic(), new_request_id()
        if request.path.startswith(PREFIX):
            if not is_ours(request.header("host")):  # a stranger's page, by a name that it made resolve to this machine
                return plain_error(ApiError("AccessDenied", "The Host header does not name this machine.", 403), request_id)
            return await self.pages.answer(request, self.pool)
        exchange, refused = _Progress(), None
        try:
            if request.method == "OPTIONS":
                response = await self.cross_origin.preflight(request, request_id)
            elif forms.is_form(request):
                response = await self.forms.answer(request, request_id, exchange)
            else:
                response = await self._answer(request, request_id, began, exchange)
        except ApiError as error:
            response, refused = None, error
            if error.code == "UnknownService" and exchange.route is None:  # it may be signed for what lies behind a door
                response = await self.doors.answer(request, request_id, exchange)
            response = response or self._error(request, exchange, error, request_id)
        except Exception as problem:
            refused = self.broken(problem, request_id)
            response = self._error(request, exchange, refused, request_id)
        self._noted(exchange, refused)
        if refused is not None and exchange.call is None and self.trail is not None:
            key = _KEY(request.header("authorization")) or _KEY(request.query.replace("%2F", "/"))
            agent = request.header("user-agent")
            self.trail.refused(request_id, exchange.route, refused, key[1] if key else "", request.client, agent)
        if exchange.call is not None and (exchange.call.logged is not None or (refused is not None and exchange.call.service == "s3")):
            self._note_for_bucket(request, response, exchange, refused, monotonic() - began)
        if "origin" in request.index:
            await self.cross_origin.add_headers(request, exchange.route, response)
        if self.access_log is not None:
            self.access_log.add(request, response.status, monotonic() - began, request_id, exchange.name, exchange.principal)
        return response

    def _noted(self, exchange: _Progress, refused: ApiError | None) -> None:
        """In the audit trail, once, before anybody is answered."""
        if exchange.call is not None and self.trail is not None and not exchange.noted:
            exchange.noted = True
            self.trail.note(exchange.call, exchange.asked, exchange.said, refused)

    def _note_for_bucket(
        self, request: HttpRequest, response: HttpResponse, exchange: _Progress, refused: ApiError | None, took_s: float
    ) -> None:
        """A line of the access log that a bucket asks for."""
        part = self.platform.parts.get("s3_access")
        if part is not None:
            part.note(request, response, exchange.call, exchange.asked, "" if refused is None else refused.code, took_s, self.pool)

    def broken(self, problem: Exception, request_id: str) -> ApiError:
        """What a client is told of an exception that is a bug, or a full disk; the log has it all."""
        log.error("request %s failed", request_id, exc_info=problem, extra={"request_id": request_id})
        return disk_full() if is_full(problem) else internal()

    async def _answer(self, request: HttpRequest, request_id: str, began: float, exchange: _Progress) -> HttpResponse:
        route, body = await self._route(request)
        exchange.route = route
        plan = exchange.plan = self.plan(route)
        who, body = await self._authenticate(request, plan, route, body)
        exchange.who, exchange.principal = who, who.principal.arn
        if plan.operation is None:
            self.platform.dispatch.find(route.service, route.operation)
        call = exchange.call = self.call(request, request_id, route, who)
        if plan.operation.brief is not None and _is_here(request.body):
            response = await self._briefly(plan, exchange, request, body, call)
            if response is not None:
                return response
        while True:
            if plan.operation.is_async:
                response = await self._on_loop(plan, exchange, request, body, call)
            else:
                loop = asyncio.get_running_loop()
                response = await loop.run_in_executor(self.pool, self._on_thread, plan, exchange, request, body, call)
            if call.held is None or self.watch is None:
                return response
            left = self.platform.settings.patience - (monotonic() - began)
            if left <= 0 or isinstance(body, Body):
                return response
            uid, revision = call.held
            call.held = None
            await self.watch.changed(uid, revision, left)
            began = float("-inf")

    # --- its steps -----------------------------------------------------------------------------------

    async def _route(self, request: HttpRequest) -> tuple[Any, bytes | None]:
        """Routes found without looking at the body are kept; S3's also depend on headers, so they are not."""
        key = _route_key(request)
        found = self._routes.get(key)
        if found is not None:
            return found, None
        route, needs_body = self._router
        try:
            found = route(request, self.platform.services)
        except needs_body:
            body = await gather(request.body, self.limits.gathered_bytes)
            return route(request, self.platform.services, body), body
        if key[3] and found.service != "s3":
            if len(self._routes) >= ROUTES_KEPT:
                self._routes.clear()
            self._routes[key] = found
        return found, None

    def known_route(self, request: HttpRequest) -> Any:
        """The kept route of a request like this one, or None."""
        return self._routes.get(_route_key(request))

    def plan(self, route: Any) -> Plan:
        key = (route.service, route.operation, route.protocol)
        plan = self._plans.get(key)
        if plan is None:
            service = self.platform.services.get(route.service)
            operation = service.operations.get(route.operation) if service is not None else None
            model = models.service_model(route.service)["operations"].get(route.operation, {})
            kind = family(route.service, route.protocol)
            unsigned = service is not None and route.operation in service.unsigned
            plan = Plan(operation, self._codecs(*key), kind, unsigned or model.get("authtype") == "none" or route.service == "s3")
            self._plans[key] = plan
        return plan

    async def _authenticate(self, request: HttpRequest, plan: Plan, route: Any, body: bytes | None) -> tuple[Authenticated, bytes | Body]:
        """Who calls, and the body: bytes, or for a streaming payload a Body that verifies itself as it is read.
        Credential, token and times are checked before a byte of the body is asked for."""
        identity, clock, kind = self.platform.identity, self.platform.clock, plan.family
        claim = sigv4.read_claim(request, kind)
        if self.open:
            refuse_strangers_pages(request)
            return await self._unverified(request, plan, route, claim, body)
        if claim is None:
            who = sigv2.authenticate(request, identity, clock) if kind == "s3" else None
            if who is None:
                if not plan.open_to_all:
                    raise auth_error(kind, "missing")
                who = sigv4.anonymous(ANONYMOUS, self.platform.settings.region, route.service)
            return who, await self._body(request, plan, who, body)
        sigv4.check_service(claim, route.service, kind)
        credential = sigv4.check_claim(claim, identity, clock, kind)
        streams = plan.codec.streams_in and bool(claim.payload)
        if not streams and body is None and not (claim.payload and payload.is_chunked(claim.payload, request)):
            body = request.body.whole(self.limits.gathered_bytes) if isinstance(request.body, InflowBody) else None
            if body is None:
                body = await gather(request.body, self.limits.gathered_bytes)
        who = sigv4.finish(request, claim, credential, kind, body)
        if body is not None and not plan.codec.streams_in:
            return who, body
        return who, await self._body(request, plan, who, body)

    async def _unverified(
        self, request: HttpRequest, plan: Plan, route: Any, claim: Any, body: bytes | None
    ) -> tuple[Authenticated, bytes | Body]:
        """`--auth open`: any key will do; 12 digits choose the account."""
        key, region = (claim.access_key, claim.region) if claim else (sigv2.access_key(request) or "", self.platform.settings.region)
        credential = self.platform.identity.credential(key)
        principal = credential.principal if credential is not None else ANONYMOUS
        who = Authenticated(principal, region, route.service, claim, b"", False)
        return who, await self._body(request, plan, who, body)

    async def _body(self, request: HttpRequest, plan: Plan, who: Authenticated, body: bytes | None) -> bytes | Body:
        if plan.codec.streams_in:
            if body is not None:
                return BytesBody(body)
            have = request.body
            if isinstance(have, InflowBody):
                have.begin()
                if plan.operation is not None and plan.operation.brief is not None and _is_brief(have) and not have.complete:
                    request.body = BytesBody(await have.gather(BRIEF_BYTES))
            return payload.verified(request, who, plan.family)
        if body is not None:
            return body
        said = request.header("x-amz-content-sha256")
        if payload.is_chunked(said, request):
            coded = payload.verified(request, who, plan.family)
            return await asyncio.get_running_loop().run_in_executor(self.pool, _read_all, coded, self.limits.gathered_bytes)
        return await gather(request.body, self.limits.gathered_bytes)

    def call(self, request: HttpRequest, request_id: str, route: Any, who: Authenticated) -> Call:
        principal, header = who.principal, request.index.get
        return Call(
            self.platform,
            route.service,
            route.operation,
            principal.account or self.platform.settings.account,
            who.region,
            principal,
            request_id,
            request.client,
            header("user-agent", ""),
            request.secure,
            header("host", ""),
            _of_transport(request) if request.tls or "referer" in request.index else {},
            who.claim,
        )

    def _on_thread(self, plan: Plan, exchange: _Progress, request: HttpRequest, body: bytes | Body, call: Call) -> HttpResponse:
        codec, asked = plan.codec, exchange.asked
        try:
            if exchange.authorized:
                exchange.authorized = False
            else:
                asked = exchange.asked = codec.parse(exchange.route, request, body)
                codec.validate(asked)
                self.platform.identity.authorize(call, asked)
            said = exchange.said = plan.operation.function(call, asked)
            response = codec.serialise(said or {}, call.request_id, self.platform.settings.strict)
        except ApiError as error:
            self._noted(exchange, error)  # here rather than on the loop, where others wait
            raise
        if call.held is None:
            self._noted(exchange, None)
        return response

    async def _briefly(self, plan: Plan, exchange: _Progress, request: HttpRequest, body: bytes | Body, call: Call) -> HttpResponse | None:
        """On the loop, without a hop to a thread, which costs more than such a call itself. None: it is none of these, and goes on
        on a thread."""
        codec = plan.codec
        asked = codec.parse(exchange.route, request, body)
        codec.validate(asked)
        exchange.asked = asked
        self.platform.identity.authorize(call, asked)
        said = plan.operation.brief(call, asked)
        if said is None:
            exchange.authorized = True
            return None
        if not isinstance(said, dict):
            said = await said
        exchange.said = said
        if not self.open:
            self._repeats.learn(request, exchange.route, plan, exchange.who, asked)
        return codec.serialise(said, call.request_id, self.platform.settings.strict)

    async def _on_loop(self, plan: Plan, exchange: _Progress, request: HttpRequest, body: bytes | Body, call: Call) -> HttpResponse:
        codec = plan.codec
        asked = exchange.asked = codec.parse(exchange.route, request, body)
        codec.validate(asked)
        self.platform.identity.authorize(call, asked)
        said = exchange.said = await plan.operation.function(call, asked)
        return codec.serialise(said or {}, call.request_id, self.platform.settings.strict)

    def _error(self, request: HttpRequest, exchange: _Progress, error: ApiError, request_id: str) -> HttpResponse:
        """In the dialect of the operation, else in that which the router guessed, else in plain JSON."""
        if exchange.plan is not None:
            response = exchange.plan.codec.error(error, request_id)
        elif getattr(error, "protocol", None):
            from modelyard.wire.codec import error_response

            response = error_response(error.protocol, error, request_id, getattr(error, "service", None))
        else:
            response = plain_error(error, request_id)
        if request.method == "HEAD":
            response.body = b""
        return response


def _route_key(request: HttpRequest) -> tuple[str, ...]:
    """All that a route which is kept depends on. The fourth is an Authorization header of the usual form without the signature at
    its end, else "" """
    get = request.index.get
    authorization = get("authorization", "")
    front = authorization[:-64] if authorization.endswith(_SIGNATURE_BEFORE, 0, -64) else ""
    return request.method, request.path, request.query, front, get("x-amz-target", ""), get("content-type", "")


class _Progress:
    """How far a request has come: what an error needs to be told in its dialect, and the log to name it."""

    __slots__ = ("asked", "authorized", "call", "noted", "plan", "principal", "route", "said", "who")

    def __init__(self) -> None:
        self.noted = False
        self.route = self.plan = self.call = self.asked = self.said = self.who = None
        self.principal, self.authorized = "", False

    @property
    def name(self) -> str:
        return f"{self.route.service}:{self.route.operation}" if self.route is not None else "-"


def _of_transport(request: HttpRequest) -> dict[str, str]:
    """Condition keys that few requests have."""
    found = {"s3:TlsVersion": request.tls} if request.tls else {}
    return {**found, "aws:Referer": request.index["referer"]} if "referer" in request.index else found


def _is_here(body: Body) -> bool:
    return body.complete if type(body) is InflowBody else type(body) is BytesBody


def _is_brief(body: InflowBody) -> bool:
    return body.length is not None and body.length <= BRIEF_BYTES


def _read_all(body: Body, limit: int) -> bytes:
    from modelyard.wire.body import too_large

    pieces, size = [], 0
    while piece := body.read():
        size += len(piece)
        if size > limit:
            raise too_large(limit)
        pieces.append(piece)
    return b"".join(pieces)


def _router() -> tuple[Callable[..., Any], type[Exception]]:
    from modelyard.wire import routing

    return routing.route, routing.NeedsBody


def _codecs() -> Callable[[str, str, str], Any]:
    from modelyard.wire import codec

    return codec.codec


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]
