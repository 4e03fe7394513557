"""Health checks: `GET /ping` of every server, on threads beside the engine's loop.

What is known lives in this process; after a restart of the engine it is absent and pings begin again. A ping
writes nothing: only a change of health wakes the replica's record.

AWS: "the container must respond with an HTTP 200 to /ping within 2 seconds" (Use your own inference code with hosting
services); it pings every 5 s. Here a server that is starting is asked every 25 ms at first, so that it is in
service as soon as it can be.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

log = logging.getLogger("modelyard.health")
PING_TIMEOUT_S = 2.0
PING_EVERY_S, FAILED_PING_EVERY_S = 5.0, 1.0
FIRST_PING_EVERY_S, YOUNG_SECONDS, LATER_PING_EVERY_S = 0.025, 10.0, 0.25
LOOK_EVERY_S = 0.5
"""How often a server between two pings is looked at for having ended."""
REQUEST = b"GET /ping HTTP/1.1\r\nHost: localhost:8080\r\nConnection: close\r\n\r\n"
_lock = threading.Lock()


@dataclass(frozen=True)
class Health:
    """`ok` is None until the first answer of 200; `failed` counts failures in a row after it."""

    ok: bool | None = None
    failed: int = 0


UNKNOWN = Health()


class Probes:
    """One thread per server under watch."""

    def __init__(self) -> None:
        self._known: dict[str, Health] = {}
        self._stops: dict[str, threading.Event] = {}
        self._guard = threading.Lock()

    def ensure(self, key: str, path: str, on_change: Callable[[], Any], ended: Callable[[], bool]) -> None:
        """Pings `path` until `forget(key)` or until `ended()`; a second call changes nothing."""
        with self._guard:
            if key in self._stops:
                return
            stop = self._stops[key] = threading.Event()
            self._known[key] = UNKNOWN
        threading.Thread(target=self._watch, args=(key, path, stop, on_change, ended), name=f"ping {key}", daemon=True).start()

    def look(self, key: str) -> Health:
        return self._known.get(key, UNKNOWN)

    def forget(self, key: str) -> None:
        with self._guard:
            stop = self._stops.pop(key, None)
            self._known.pop(key, None)
        if stop is not None:
            stop.set()

    def stop(self) -> None:
        """No ping begins any more; one that is under way is not told."""
        for key in list(self._stops):
            self.forget(key)

    def close(self) -> None:
        """Nothing is watched any more."""
        for key in list(self._stops):
            self.forget(key)

    def _watch(self, key: str, path: str, stop: threading.Event, on_change: Callable[[], Any], ended: Callable[[], bool]) -> None:
        began = monotonic()
        while not stop.is_set():
            health = self._next(key, ping(path))
            with self._guard:
                if self._stops.get(key) is not stop:
                    return
                before, self._known[key] = self._known.get(key, UNKNOWN), health
            if before != health:
                _tell(on_change)
            if self._pause(health, began, stop, ended):
                _tell(on_change)
                return

    def _next(self, key: str, answered: bool) -> Health:
        known = self._known.get(key, UNKNOWN)
        if answered:
            return Health(True)
        return known if known.ok is None else Health(False, known.failed + 1)

    def _pause(self, health: Health, began: float, stop: threading.Event, ended: Callable[[], bool]) -> bool:
        """Waits for the next ping; True where the server has ended meanwhile."""
        if health.ok is None:
            pause = FIRST_PING_EVERY_S if monotonic() - began < YOUNG_SECONDS else LATER_PING_EVERY_S
        else:
            pause = PING_EVERY_S if health.ok else FAILED_PING_EVERY_S
        until = monotonic() + pause
        while (left := until - monotonic()) > 0 and not stop.wait(min(left, LOOK_EVERY_S)):
            if pause >= LOOK_EVERY_S and ended():
                return True
        return ended() if health.ok is None and not stop.is_set() else False


def ping(path: str) -> bool:
    """Whether the server on this unix socket answers 200 to /ping in time."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(PING_TIMEOUT_S)
            connection.connect(path)
            connection.sendall(REQUEST)
            answer = b""
            while len(answer) < 12 and (piece := connection.recv(64)):
                answer += piece
            return answer[:5] == b"HTTP/" and answer[8:12] == b" 200"
    except OSError:
        return False


def _tell(on_change: Callable[[], Any]) -> None:
    try:
        on_change()
    except Exception:
        log.exception("a change of health was not told; the replica is looked at later all the same")


def probes(world: Any) -> Probes:
    """The engine's probes, made when first asked for."""
    with _lock:
        return world.parts.setdefault("probes", Probes())
