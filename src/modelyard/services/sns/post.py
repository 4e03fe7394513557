"""One POST to a subscriber's endpoint: to the address that was checked, within a limit of real time, without following anything.

What a subscription names is a user's word, and the platform follows it: so never to the platform's own ports (its front door would
take it for a neighbour), nor to link-local addresses (the metadata service of a cloud) or such as are nobody's.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Collection, Mapping
from urllib.parse import unquote, urlsplit

TIMEOUT_S = 15.0
MOST_READ = 64 << 10


class Undeliverable(Exception):
    """No answer: refused, unreachable, too slow. `final`: trying again is of no use."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def post(url: str, body: bytes, headers: Mapping[str, str], own_ports: Collection[int], timeout_s: float = TIMEOUT_S) -> int:
    """The HTTP status of the answer. Raises Undeliverable."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if not host:
        raise Undeliverable("the endpoint has no host", final=True)
    try:
        connection = _connect(parts.scheme, host, port, own_ports, timeout_s)
    except OSError as problem:
        raise Undeliverable(f"{host}:{port} cannot be reached: {problem}") from None
    sock = connection.sock
    guard = threading.Timer(timeout_s, _cut, (sock,))
    guard.start()
    try:
        sent = {"Host": parts.netloc.rpartition("@")[2], **headers, "Connection": "close"}
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            sent["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", target, body, sent)
        answer = connection.getresponse()
        status = answer.status
        with contextlib.suppress(OSError, http.client.HTTPException):
            answer.read(MOST_READ)
        return status
    except (OSError, http.client.HTTPException) as problem:
        raise Undeliverable(f"{host}:{port} did not answer within {timeout_s:.0f} s, or not in HTTP: {problem!r}") from None
    finally:
        guard.cancel()
        connection.close()


def _connect(scheme: str, host: str, port: int, own_ports: Collection[int], timeout_s: float) -> http.client.HTTPConnection:
    """Connected to an address that `refusal` has nothing against; the name is not looked up again."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    reason = next((why for _, _, _, _, place in found if (why := refusal(place[0], port, own_ports))), None)
    if reason:
        raise Undeliverable(f"{host}:{port} {reason}", final=True)
    problem: OSError = OSError("it has no address")
    for family, kind, protocol, _, place in found:
        sock = socket.socket(family, kind, protocol)
        sock.settimeout(timeout_s)
        try:
            sock.connect(place)
            if scheme == "https":
                sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        except OSError as failed:
            sock.close()
            problem = failed
            continue
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        connection.sock = sock
        return connection
    raise problem


def refusal(address: str, port: int, own_ports: Collection[int]) -> str | None:
    """Why this address is not delivered to; None: it is."""
    one = ipaddress.ip_address(address.partition("%")[0])
    one = getattr(one, "ipv4_mapped", None) or one
    if one.is_link_local or one.is_multicast or one.is_unspecified or (one.is_reserved and not one.is_loopback):
        return "is not an address that notifications are sent to"
    if port in own_ports and (one.is_loopback or _is_here(str(one))):
        return "is this platform itself; notifications are not sent there"
    return None


def _is_here(address: str) -> bool:
    """Whether a socket of this machine can have the address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _cut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
