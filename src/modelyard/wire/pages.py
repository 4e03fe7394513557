"""`/_modelyard/…`: the platform's own pages beside the AWS operations. `health` is here, others register."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Any

import orjson

import modelyard
from modelyard.kernel.errors import ApiError
from modelyard.kernel.platform import Platform
from modelyard.kernel.service import RawRequest, RawResponse
from modelyard.wire.doors import as_raw, of_raw
from modelyard.wire.http import HttpRequest, HttpResponse

log = logging.getLogger("modelyard.gateway")
PREFIX = "/_modelyard/"
Page = Callable[[HttpRequest], HttpResponse | Awaitable[HttpResponse]]


class Pages:
    """`add("metrics", page)` serves `/_modelyard/metrics` and everything below it; the longest name wins.

    A page is a plain function (run on a thread) or `async def`. Health reads `platform.parts`:
    `readiness` (callable → {service: bool or text}) and `tier` (text or callable → text), where they are.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._pages: dict[str, Page] = {"health": self._health}
        self._raw: dict[str, Callable[[Platform, RawRequest], RawResponse]] = {}
        for service in platform.services.values():
            for name, function in service.pages.items():
                self.add(name, self._of_service(name, function))
            for name, raw in service.raw_pages.items():
                self._raw[name] = raw

    def add(self, name: str, page: Page) -> None:
        if name in self._pages:
            raise LookupError(f"the page {name!r} is there already")
        self._pages[name] = page

    async def answer(self, request: HttpRequest, pool: Executor) -> HttpResponse:
        path = request.path[len(PREFIX) :].strip("/")
        if (raw := self._raw.get(path.partition("/")[0])) is not None:
            return await self._answer_raw(raw, path.partition("/")[0], request, pool)
        while path and path not in self._pages:
            path = path.rpartition("/")[0]
        page = self._pages.get(path)
        if page is None:
            return json_page({"message": "There is no such page.", "pages": sorted(self._pages)}, 404)
        try:
            if inspect.iscoroutinefunction(page):
                return await page(request)
            return await asyncio.get_running_loop().run_in_executor(pool, page, request)
        except Exception:
            log.exception("the page %s failed", path)
            return json_page({"message": "The page failed; the log has the trace."}, 500)

    async def _answer_raw(self, page: Any, name: str, request: HttpRequest, pool: Executor) -> HttpResponse:
        try:
            below = request.path[len(PREFIX) + len(name) :]
            asked = await as_raw(request, below)
            return of_raw(await asyncio.get_running_loop().run_in_executor(pool, page, self._platform, asked))
        except ApiError as error:
            return json_page({"message": error.message}, error.status)
        except Exception:
            log.exception("the page %s failed", name)
            return json_page({"message": "The page failed; the log has the trace."}, 500)

    def _of_service(self, name: str, function: Callable[[Platform, str], tuple[int, str, bytes]]) -> Page:
        def page(request: HttpRequest) -> HttpResponse:
            status, kind, body = function(self._platform, request.path[len(PREFIX) + len(name) :].strip("/"))
            return HttpResponse(status, [("content-type", kind)], body)

        return page

    def _health(self, request: HttpRequest) -> HttpResponse:
        parts = self._platform.parts
        tier, readiness = parts.get("tier"), parts.get("readiness")
        services = dict.fromkeys(sorted(self._platform.services), True)
        services.update(readiness() if callable(readiness) else readiness or {})
        ready = all(value is True for value in services.values())
        body = {
            "status": "ok" if ready else "starting",
            "version": modelyard.__version__,
            "services": {name: "ready" if value is True else (value or "not ready") for name, value in services.items()},
            "tier": tier() if callable(tier) else tier,
        }
        return json_page(body, 200 if ready else 503)


def json_page(value: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(status, [("content-type", "application/json"), ("cache-control", "no-store")], orjson.dumps(value, default=str))
