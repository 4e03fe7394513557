"""Requests like one that was served before.

A client that calls an endpoint sends the same head over and over: only the signature, the time, the length and a few ids that its
library makes up differ, each at the place where it was before. Whoever was read, routed, authorised and checked the ordinary way
leaves a `Likeness`. What is byte for byte the same but for those places, which are looked at again, can only be read, routed,
authorised and checked to the same end; its signature is verified like any other.

A likeness holds until IAM changes (`Identity.steady`) or its credential expires.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from modelyard.wire import signing, sigv4

if TYPE_CHECKING:
    from modelyard.kernel.identity import Credential
    from modelyard.wire.http import HttpRequest

LOOSE = frozenset((b"amz-sdk-invocation-id", b"amz-sdk-request", b"x-amzn-trace-id"))
"""Headers that may say something else each time: no operation that is answered at once has a member there."""
_WORDS = re.compile(rb"[!-~]+(?: [!-~]+)*").fullmatch
_MOMENT = re.compile(rb"[0-9]{8}T[0-9]{6}Z").fullmatch
KEPT, KEPT_PER_PLACE, LONGEST_HEAD = 512, 8, 8 << 10
FRUITLESS, PATIENCE = 64, 16
"""After so many heads that nothing was like, only each 16th is looked at: some clients never repeat themselves."""

Place = tuple[int, str, bool]
"""(length of the head, client, whether it came by TLS)"""


@dataclass(slots=True)
class Head:
    """A request head taken apart: bytes that stay, each with its offset, and where the others are."""

    end: int
    pieces: list[tuple[bytes, int]]
    signature: slice
    moment: slice
    length: slice
    payload: slice | None
    """x-amz-content-sha256, where it is said."""
    loose: dict[bytes, slice]


def take_apart(raw: bytes) -> Head | None:
    """None where a header is written in a way that needs a closer look each time."""
    end = raw.find(b"\r\n\r\n") + 4
    if not 4 <= end <= LONGEST_HEAD or raw.count(b"\n", 0, end) != raw.count(b"\r\n", 0, end):
        return None
    holes: dict[bytes, slice] = {}
    at = raw.find(b"\r\n") + 2
    while at < end - 2:
        stop = raw.find(b"\r\n", at)
        colon = raw.find(b":", at, stop)
        name = raw[at:colon].lower()
        begin = colon + 2 if raw[colon + 1 : colon + 2] == b" " else colon + 1
        if name == b"authorization":
            begin = stop - 64
        if name in (b"authorization", b"x-amz-date", b"content-length", b"x-amz-content-sha256") or name in LOOSE:
            if name in holes or not _WORDS(raw, begin, stop):
                return None
            holes[name] = slice(begin, stop)
        at = stop + 2
    pieces, last = [], 0
    for hole in holes.values():
        pieces.append((raw[last : hole.start], last))
        last = hole.stop
    pieces.append((raw[last:end], last))
    try:
        return Head(
            end,
            pieces,
            holes.pop(b"authorization"),
            holes.pop(b"x-amz-date"),
            holes.pop(b"content-length"),
            holes.pop(b"x-amz-content-sha256", None),
            holes,
        )
    except KeyError:
        return None


class Likeness:
    """What `body` needs to know a request again. `found` is the taker's: whatever it made of the first one."""

    def __init__(self, head: Head, scope: sigv4.Scope, credential: Credential, request: HttpRequest, bounds: tuple[int, int]) -> None:
        self._pieces, self._end = head.pieces, head.end
        self._signature, self._moment, self._length, self._payload = head.signature, head.moment, head.length, head.payload
        self._loose = [(hole.start, hole.stop) for hole in head.loose.values()]
        self._least, self._most = bounds
        self._key, self.expires_at = scope.key(credential.secret_key), credential.expires_at or float("inf")
        holes = {"x-amz-date": head.moment, "x-amz-content-sha256": head.payload, "content-length": head.length}
        holes |= {name.decode(): hole for name, hole in head.loose.items()}
        self._signed = [hole for name in scope.names if (hole := holes.get(name)) is not None]
        headers = [
            _plain(f"{name}:{signing.fold(request.index.get(name, ''))}") if holes.get(name) is None else f"{name}:%b"
            for name in scope.names
        ]
        path = signing.canonical_path(request.path, False)
        lines = (_plain(f"{request.method}\n{path}\n"), *headers, "", _plain(scope.signed_headers), "%b")
        self._canonical = "\n".join(lines).encode("latin-1")
        self._scope, self._day = scope.text.encode("latin-1"), scope.date.encode("latin-1")
        self._second: tuple[bytes, float, bytes] = (b"", 0.0, b"")
        self.found: Any = None

    def body(self, data: bytes, now: float) -> bytes | None:
        """The body of a request that is like this one, in time and rightly signed; else None. `now` is real time."""
        startswith = data.startswith
        for piece, at in self._pieces:
            if not startswith(piece, at):
                return None
        body = data[self._end :]
        size, length = len(body), data[self._length]
        if not length.isdigit() or int(length) != size or not self._least <= size <= self._most:
            return None
        for begin, stop in self._loose:
            if not _WORDS(data, begin, stop):
                return None
        moment, at, front = self._second
        if data[self._moment] != moment:
            moment = data[self._moment]
            if not _MOMENT(moment) or not moment.startswith(self._day):
                return None
            at = sigv4.epoch(moment.decode(), "json")
            front = b"AWS4-HMAC-SHA256\n%b\n%b\n" % (moment, self._scope)
            self._second = moment, at, front
        if not -sigv4.SKEW_S <= now - at <= sigv4.SKEW_S:
            return None
        payload = sha256(body).hexdigest().encode()
        if self._payload is not None and data[self._payload] != payload:
            return None
        canonical = self._canonical % (*[data[hole] for hole in self._signed], payload)
        signature = signing.sign_bytes(self._key, front + sha256(canonical).hexdigest().encode())
        return body if hmac.compare_digest(signature.encode(), data[self._signature]) else None


def _plain(text: str) -> str:
    """As a format that gives this very text."""
    return text.replace("%", "%%")


class Likenesses:
    """Of one gateway, on its loop."""

    def __init__(self) -> None:
        self._kept: dict[Place, list[Likeness]] = {}
        self._number = self._fruitless = 0
        self._seen: set[int] = set()

    def find(self, data: bytes, client: str, secure: bool, now: float) -> tuple[Likeness, bytes] | None:
        """What a request is like, and its body."""
        kept = self._kept.get((data.find(b"\r\n\r\n") + 4, client, secure))
        if kept is None:
            return None
        for likeness in kept:
            body = likeness.body(data, now)
            if body is not None:
                self._fruitless = 0
                return likeness, body
        return None

    def again(self, head: Head, request: HttpRequest) -> bool:
        """Whether such a head was here before: it is worth a likeness."""
        mark = hash((request.client, request.secure, *(piece for piece, _ in head.pieces)))
        if mark in self._seen:
            return True
        if len(self._seen) >= KEPT:
            self._seen.clear()
        self._seen.add(mark)
        return False

    @property
    def wanted(self) -> bool:
        """Whether one more request should be looked at closely."""
        self._fruitless += 1
        return self._fruitless <= FRUITLESS or self._fruitless % PATIENCE == 0

    def keep(self, likeness: Likeness, end: int, request: HttpRequest) -> None:
        if self._number >= KEPT:
            self._kept.clear()
            self._number = 0
        kept = self._kept.setdefault((end, request.client, request.secure), [])
        self._number += len(kept) < KEPT_PER_PLACE
        kept.insert(0, likeness)
        del kept[KEPT_PER_PLACE:]

    def forget(self, gone: Likeness) -> None:
        for place, kept in list(self._kept.items()):
            if gone in kept:
                kept.remove(gone)
                self._number -= 1
                if not kept:
                    del self._kept[place]
