"""Reads of S3 that come again byte for byte: presigned URLs, mostly.

What a request says (its parts, route, members, who signed it) is a function of its bytes and of the credential that was found, so it is
kept from when it was worked out the ordinary way. What may have changed meanwhile is asked each time, by the functions that the
ordinary way asks: credential and times (`sigv4.check_claim`), permission, and the operation itself. Whatever is refused is left to
`Gateway.handle`, which begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

from modelyard.kernel.identity import Credential
from modelyard.wire import answer, sigv4
from modelyard.wire.body import InflowBody
from modelyard.wire.exchange import Exchange
from modelyard.wire.http import HttpRequest, HttpResponse
from modelyard.wire.requestid import new_request_id
from modelyard.wire.sigv4 import Authenticated

if TYPE_CHECKING:
    from modelyard.wire.gateway import Gateway, Plan

KEPT, SEEN, LONGEST = 512, 4096, 4 << 10


@dataclass(slots=True)
class Kept:
    """What was made of one request."""

    exchange: Exchange
    request: HttpRequest
    route: Any
    plan: Plan
    who: Authenticated
    credential: Credential
    asked: dict[str, Any]


class Repeats:
    """Of one gateway, on its loop. Kept is what came twice."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._kept: dict[tuple[bytes, str, bool], Kept] = {}
        self._seen: set[int] = set()

    def learn(self, request: HttpRequest, route: Any, plan: Plan, who: Authenticated, asked: dict[str, Any]) -> None:
        """After it was answered the ordinary way."""
        raw = request.raw
        if not raw or len(raw) > LONGEST or request.method not in ("GET", "HEAD") or who.claim is None or not who.verified:
            return
        mark = hash(raw)
        if mark not in self._seen:
            if len(self._seen) >= SEEN:
                self._seen.clear()
            self._seen.add(mark)
            return
        credential = self._gateway.platform.identity.credential(who.claim.access_key)
        if credential is None or credential.principal is not who.principal or "origin" in request.index or request.body.length:
            return
        if len(self._kept) >= KEPT:
            self._kept.clear()
        body = InflowBody.here(None, b"", 0, lambda stop: None)  # its own would keep its connection
        alone = replace(request, body=body, raw=b"")
        self._kept[raw, request.client, request.secure] = Kept(Exchange(alone, body), alone, route, plan, who, credential, asked)

    def take(self, data: bytes, client: str, secure: bool, reply: Callable[..., None]) -> Repeated | None:
        """`reply` is called soon, once, on the loop, as by `AtOnceCalls`. None: nobody knows these bytes, or they are not answered now."""
        kept = self._kept.get((data, client, secure))
        if kept is None:
            return None
        gateway, began = self._gateway, monotonic()
        platform, request_id = gateway.platform, new_request_id()
        try:
            credential = sigv4.check_claim(kept.who.claim, platform.identity, platform.clock, kept.plan.family)
            if credential is not kept.credential:  # IAM has changed: who knows what
                del self._kept[data, client, secure]
                return None
            call, asked = gateway.call(kept.request, request_id, kept.route, kept.who), dict(kept.asked)
            platform.identity.authorize(call, asked)
            said = kept.plan.operation.brief(call, asked)
            if not isinstance(said, dict) or call.logged is not None:
                _close(said)
                return None
            response = kept.plan.codec.serialise(said, request_id, platform.settings.strict)
        except Exception:  # refused, or a bug: the ordinary path meets it again, and tells it
            return None
        if gateway.trail is not None:
            gateway.trail.note(call, asked, said, None)
        if gateway.access_log is not None:
            gateway.access_log.add(kept.request, response.status, monotonic() - began, request_id, kept.route.name, call.principal.arn)
        start = answer.small(response) if kept.request.method == "GET" else None
        return Repeated(kept.exchange, asyncio.get_running_loop().call_soon(reply, start, lambda: response), response)


@dataclass(slots=True)
class Repeated:
    """An answer on its way."""

    exchange: Exchange
    work: asyncio.Handle
    response: HttpResponse

    def cancel(self) -> None:
        """The client is gone before it was sent."""
        self.work.cancel()
        _close({"Body": self.response.body})


def _close(said: Any) -> None:
    body = said.get("Body") if isinstance(said, dict) else None
    if hasattr(body, "file"):
        body.file.close()
