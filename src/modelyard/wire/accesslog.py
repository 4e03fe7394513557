"""One line per request, written off the hot path: requests put a tuple aside, a thread formats and writes.

Secrets never reach it: of the query only names are kept for signed parameters, headers are not logged at all.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from pathlib import Path

from modelyard.kernel.clock import real_now
from modelyard.wire.http import HttpRequest

FLUSH_S = 0.5
MOST_WAITING = 50_000
LINES_AT_ONCE = 64
_SECRET = re.compile(
    r"(?i)\b(X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|Signature|AWSAccessKeyId|[^&=]*(?:token|secret|password)[^&=]*)=[^&]*"
)


def redacted(query: str) -> str:
    return _SECRET.sub(r"\1=***", query)


class AccessLog:
    """`add` never blocks; over `MOST_WAITING` lines behind, lines are dropped and counted."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")
        self._waiting: deque[tuple] = deque()
        self._dropped = 0
        self._bell = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def add(self, request: HttpRequest, status: int, took_s: float, request_id: str, operation: str, principal: str) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(
            (real_now(), request.client, request.method, request.path, request.query, status, took_s, request_id, operation, principal)
        )
        if not self._bell.is_set():
            self._bell.set()

    def close(self) -> None:
        self._closing = True
        self._bell.set()
        self._thread.join(timeout=2)
        self._flush()
        self._file.close()

    def _run(self) -> None:
        while not self._closing:
            self._bell.wait()
            if not self._closing:
                time.sleep(FLUSH_S)  # gathers what comes meanwhile into one write
            self._bell.clear()
            self._flush()

    def _flush(self) -> None:
        lines = []
        while self._waiting:
            lines.append(_line(*self._waiting.popleft()))
            if len(lines) % LINES_AT_ONCE == 0:
                time.sleep(0)  # lets the loop go on: a thread that computes keeps it waiting for milliseconds
        if self._dropped:
            lines.append(f"- {self._dropped} lines were dropped\n")
            self._dropped = 0
        if lines:
            self._file.write("".join(lines))
            self._file.flush()


_second: tuple[int, str] = (-1, "")


def _line(
    at: float, client: str, method: str, path: str, query: str, status: int, took_s: float, request_id: str, operation: str, principal: str
) -> str:
    global _second
    second = int(at)
    if _second[0] != second:
        _second = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
    target = path + ("?" + redacted(query) if query else "")
    if not (target.isascii() and target.isprintable()):
        target = target.encode("ascii", "backslashreplace").decode().replace("\n", "\\n").replace("\r", "\\r")
    return (
        f"{_second[1]}.{int((at - second) * 1000):03d}Z {client} {method} {target} {operation} {status} {took_s * 1000:.1f}ms "
        f"{principal or '-'} {request_id}\n"
    )
