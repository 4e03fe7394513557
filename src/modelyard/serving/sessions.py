"""Stateful sessions: which replica holds a session, so that further calls with its id go there.

A caller asks with SessionId NEW_SESSION; the model answers `X-Amzn-SageMaker-New-Session-Id: <id>; Expires=<yyyy-mm-ddThh:mm:ssZ>`, later
perhaps `X-Amzn-SageMaker-Closed-Session-Id: <id>` ("Stateful sessions with Amazon SageMaker AI models"). What was said is a small file
per session in a folder that all gateways share, so any of them, also after a `kill -9`, finds the replica; it is written once per
session, not per call. A session whose replica is gone, or that nobody knows, is routed like any call: the model says what it
thinks of the id.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.serving.routes import RouteTable, Variant

log = logging.getLogger("modelyard.sessions")
HEADER = b"X-Amzn-SageMaker-Session-Id: "
NEW = "NEW_SESSION"
LONGEST_SECONDS = 24 * 3600.0
"""A session without an expiry that can be read is forgotten after a day."""


class Sessions:
    """On the gateway's loop. Without a folder, sessions are known to this gateway only. Expiry is real time: models set it."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._known: dict[str, tuple[str, float]] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._sweep(folder)

    def narrow(self, table: RouteTable, variant: Variant, head: bytes, target: str | None, replicas: Any) -> Variant:
        """The variant with the one replica that shall take a call with a session id; as it is, where any may."""
        session = _id(head)
        if session == NEW:
            pool = replicas.pick(variant)
            return variant if pool is None else _only(variant, pool.socket) or variant
        socket = self._find(table.key, session)
        rows = (v for v in table.variants if target in (None, v.name)) if socket is not None else ()
        return next((only for row in rows if (only := _only(row, socket)) is not None), variant)

    def heard(self, outcome: Any) -> None:
        """What the model's answer says of sessions."""
        if outcome.kind != "answered":
            return
        told, closed = outcome.header(b"x-amzn-sagemaker-new-session-id"), outcome.header(b"x-amzn-sagemaker-closed-session-id")
        if told and len(outcome.variant.replicas) == 1:
            session, _, expiry = told.partition(";")
            self._keep(_key(outcome.table.key, session.strip()), outcome.variant.replicas[0].socket, _expires(expiry))
        if closed:
            self._forget(_key(outcome.table.key, closed.strip()))

    def _find(self, endpoint: str, session: str) -> str | None:
        key = _key(endpoint, session)
        found = self._known.get(key) or self._read(key)
        if found is None:
            return None
        if found[1] <= real_now():
            self._forget(key)
            return None
        self._known[key] = found
        return found[0]

    def _read(self, key: str) -> tuple[str, float] | None:
        if self._folder is None:
            return None
        with suppress(OSError, ValueError):
            socket, expires = json.loads((self._folder / key).read_text())
            return socket, expires
        return None

    def _keep(self, key: str, socket: str, expires: float) -> None:
        self._known[key] = (socket, expires)
        if self._folder is not None:
            half = self._folder / f"{key}.{os.getpid()}"
            try:
                half.write_text(json.dumps([socket, expires]))
                os.rename(half, self._folder / key)
            except OSError:
                log.exception("a session could not be written down; other gateways do not know it")

    def _forget(self, key: str) -> None:
        self._known.pop(key, None)
        if self._folder is not None:
            (self._folder / key).unlink(missing_ok=True)

    def _sweep(self, folder: Path) -> None:
        """What ended while nobody asked."""
        for path in folder.iterdir():
            found = self._read(path.name)
            if found is None or found[1] <= real_now():
                path.unlink(missing_ok=True)


def _id(head: bytes) -> str:
    begin = head.index(HEADER) + len(HEADER)
    return head[begin : head.index(b"\r\n", begin)].decode("latin-1")


def _key(endpoint: str, session: str) -> str:
    return hashlib.sha256(f"{endpoint}\0{session}".encode()).hexdigest()


def _expires(text: str) -> float:
    name, _, value = text.strip().partition("=")
    with suppress(ValueError):
        if name.lower() == "expires":
            return datetime.fromisoformat(value.strip().replace("Z", "+00:00")).timestamp()
    return real_now() + LONGEST_SECONDS


def _only(variant: Variant, socket: str) -> Variant | None:
    found = tuple(r for r in variant.replicas if r.socket == socket)
    return replace(variant, replicas=found) if found else None
