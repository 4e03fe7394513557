"""A front door on a loop of its own, for tests that are not coroutines."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import uvloop

from modelyard.wire.server import Server


class BackgroundServer:
    """`with BackgroundServer(handle, limits) as server:`; `server.port` is where it listens."""

    def __init__(self, handle: Any, limits: Any = None, **options: Any) -> None:
        self.server = Server(handle, limits, **options)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def port(self) -> int:
        return self.server.port

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(240)

    def __enter__(self) -> BackgroundServer:
        self._thread.start()
        self.run(self.server.start())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.server.stop(1.0))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
