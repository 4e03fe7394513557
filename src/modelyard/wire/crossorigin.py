"""Requests of web pages of other origins to buckets: preflights, and the headers that let a page read an answer.

What a bucket allows is S3's to say: `platform.parts["cross_origin"]`, with `preflight(bucket, key, origin, method, headers)` and
`headers(bucket, origin, method)`, both answering response headers, the first refusing with an ApiError.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from modelyard.kernel.errors import ApiError
from modelyard.wire import hosts
from modelyard.wire.codecs.rest_xml import request_headers
from modelyard.wire.http import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from modelyard.wire.gateway import Gateway


class CrossOrigin:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._parts = gateway, gateway.platform.parts

    async def preflight(self, request: HttpRequest, request_id: str) -> HttpResponse:
        """The answer to an OPTIONS request, in S3's dialect."""
        from modelyard.wire.codec import error_response

        get = request.index.get
        try:
            asked = get("access-control-request-headers", "")
            names = [name.strip().lower() for name in asked.split(",") if name.strip()]
            place = bucket_of(request), key_of(request)
            headers = await self._ask("preflight", *place, get("origin", ""), get("access-control-request-method", ""), names)
        except ApiError as error:
            return error_response("rest-xml", error, request_id, "s3")
        return HttpResponse(200, [*request_headers(True, request_id), *headers], b"")

    async def add_headers(self, request: HttpRequest, route: Any, response: HttpResponse) -> None:
        if route is None or route.service != "s3" or "Bucket" not in route.path_values:
            return
        method = request.header("access-control-request-method") or request.method
        response.headers += await self._ask("headers", route.path_values["Bucket"], request.header("origin"), method)

    async def _ask(self, what: str, *words: Any) -> Any:
        rules = self._parts.get("cross_origin")
        if rules is None:
            return []
        return await asyncio.get_running_loop().run_in_executor(self._gateway.pool, getattr(rules, what), *words)


def bucket_of(request: HttpRequest) -> str:
    """The bucket that host or path name; "" where neither does."""
    return hosts.bucket_of(request.header("host")) or request.path.lstrip("/").partition("/")[0]


def key_of(request: HttpRequest) -> str:
    """The rest of the path behind the bucket."""
    path = request.path.lstrip("/")
    return path if hosts.bucket_of(request.header("host")) else path.partition("/")[2]
