"""Requests that are no operation of a service model, signed for a name that some service keeps a door for (`Service.door`)."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import ANONYMOUS
from modelyard.kernel.service import Call, RawRequest, RawResponse
from modelyard.wire import sigv4
from modelyard.wire.body import gather
from modelyard.wire.http import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from modelyard.wire.gateway import Gateway

log = logging.getLogger("modelyard.gateway")
LARGEST_BODY = 64 << 20
FAMILY = "rest-json"


class Doors:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._platform = gateway, gateway.platform
        self._doors = {name: (service.name, enter) for service in self._platform.services.values() for name, enter in service.doors.items()}

    async def answer(self, request: HttpRequest, request_id: str, progress: Any) -> HttpResponse | None:
        """None: it is signed for nothing that is behind a door."""
        try:
            claim = sigv4.read_claim(request, FAMILY)
        except ApiError:
            return None
        if claim is None or claim.of.service not in self._doors:
            return None
        service, enter = self._doors[claim.of.service]
        try:
            asked = await as_raw(request, request.path)
            if self._gateway.open:
                credential = self._platform.identity.credential(claim.access_key)
                principal = credential.principal if credential is not None else ANONYMOUS
            else:
                credential = sigv4.check_claim(claim, self._platform.identity, self._platform.clock, FAMILY)
                principal = sigv4.finish(request, claim, credential, FAMILY, asked.body).principal
            progress.principal = principal.arn
            call = Call(
                self._platform, service, claim.of.service, principal.account or self._platform.settings.account, claim.of.region, principal,
                request_id, request.client, request.header("user-agent"), request.secure, request.header("host"),
            )  # fmt: skip
            return of_raw(await asyncio.get_running_loop().run_in_executor(self._gateway.pool, enter, call, asked))
        except ApiError as error:
            return _refused(error.code, error.message, error.status, request_id)
        except Exception as problem:
            error = self._gateway.broken(problem, request_id)
            return _refused(error.code, error.message, error.status, request_id)


async def as_raw(request: HttpRequest, path: str) -> RawRequest:
    return RawRequest(request.method, path, request.query, list(request.headers), await gather(request.body, LARGEST_BODY))


def of_raw(response: RawResponse) -> HttpResponse:
    return HttpResponse(response.status, list(response.headers), response.body)


def _refused(code: str, message: str, status: int, request_id: str) -> HttpResponse:
    """As AWS's own front door tells it; `error_code` and `message` are what clients of REST APIs show."""
    body = orjson.dumps({"__type": code, "error_code": code, "message": message})
    return HttpResponse(status, [("content-type", "application/json"), ("x-amzn-requestid", request_id), ("x-amzn-errortype", code)], body)
