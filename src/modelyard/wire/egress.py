"""Where a proxied connection may go, and by which way: rules and the host's own upstream proxy."""

from __future__ import annotations

import asyncio
import base64
import hmac
import ipaddress
import os
import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

Address = tuple[int, str, int]
"""(family, numeric host, port)"""
CONNECT_S = 15.0


class Denied(Exception):
    """The rules do not let this connection out; the text is for the client."""


class Unreachable(Exception):
    """The other side cannot be reached; the text is for the client."""


# --- who may use the proxy -----------------------------------------------------------------------


class Tokens:
    """Proxy passwords derived from one secret: `of(name)` is the password of user `name` (a run id, or `user`).

    Nothing is stored per run, so tokens hold over restarts; `revoke` ends one in this process.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._revoked: set[str] = set()

    @classmethod
    def of_folder(cls, folder: Path) -> Tokens:
        """The secret is `proxy.key` (0600) in this folder, made when missing."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / "proxy.key"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
        secret = path.read_text().strip()
        if len(secret) != 64:
            raise RuntimeError(f"{path} is not whole: remove it and start again")
        return cls(bytes.fromhex(secret))

    def of(self, name: str) -> str:
        return hmac.digest(self._secret, name.encode(), "sha256").hex()[:40]

    def revoke(self, name: str) -> None:
        self._revoked.add(name)

    def holder(self, proxy_authorization: str) -> str | None:
        """The name whose token a Proxy-Authorization header carries; None: none that holds."""
        scheme, _, coded = proxy_authorization.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, _, token = base64.b64decode(coded, validate=True).decode().partition(":")
        except ValueError:
            return None
        if name in self._revoked or not hmac.compare_digest(token.encode(), self.of(name).encode()):
            return None
        return name


# --- where to --------------------------------------------------------------------------------------


def is_public(address: str) -> bool:
    """Whether an address is on the open internet, however it is written (mapped, 6to4, NAT64 and Teredo forms too)."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and (ip in ipaddress.ip_network("64:ff9b::/96") or ip in ipaddress.ip_network("::/96")):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


@dataclass(frozen=True)
class Rules:
    """`public_only`: never this machine, private or link-local networks, except the (host, port) in `allowed`
    (a package index the host is configured for). `own_ports` are refused on this machine whatever the rest says."""

    public_only: bool
    allowed: frozenset[tuple[str, int]] = frozenset()
    own_ports: Collection[int] = field(default_factory=set)

    async def addresses(self, host: str, port: int) -> list[Address]:
        """Resolves first; connections then go to these very addresses. Raises Denied or Unreachable."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError, TimeoutError):
            raise Unreachable(f"{host} cannot be resolved") from None
        addresses = [(family, where[0], port) for family, _, _, _, where in found]
        self.check(host, port, [address for _, address, _ in addresses])
        return addresses

    def check(self, host: str, port: int, addresses: Collection[str]) -> None:
        """All addresses must be allowed: a name with one bad address is not to be tried at all."""
        if port in self.own_ports and any(_is_this_machine(address) for address in addresses):
            raise Denied("the proxy does not connect to itself")
        if self.public_only and (host.lower(), port) not in self.allowed and not all(is_public(a) for a in addresses):
            raise Denied(f"{host} is not on the public internet: not reachable from here")

    def check_name(self, host: str) -> None:
        """For names that only an upstream proxy can resolve."""
        name = host.lower().rstrip(".")
        if self.public_only and (
            "." not in name or name.endswith((".localhost", ".local", ".internal", ".localdomain", ".lan", ".home.arpa"))
        ):
            raise Denied(f"{host} is not on the public internet: not reachable from here")


def _is_this_machine(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback or ip.is_unspecified:
        return True
    try:
        with socket.socket(socket.AF_INET6 if ip.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))  # only addresses of this machine can be bound
        return True
    except OSError:
        return False


# --- the host's own upstream proxy -------------------------------------------------------------------


@dataclass(frozen=True)
class Upstream:
    """A proxy the host itself must use. `authorization` is its Proxy-Authorization, "" for none."""

    host: str
    port: int
    authorization: str = ""
    secure: bool = False


@dataclass(frozen=True)
class Upstreams:
    """HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY as the platform was started with."""

    http: Upstream | None = None
    https: Upstream | None = None
    exempt: tuple[str, ...] = ()

    @classmethod
    def of(cls, environment: dict[str, str] | os._Environ[str], own_ports: Collection[int] = ()) -> Upstreams:
        """A setting that points at this platform itself is ignored (the shell had transparent mode on)."""

        def said(*names: str) -> str:
            return next((environment[n] for name in names for n in (name.lower(), name) if environment.get(n)), "")

        http = _parse_upstream(said("HTTP_PROXY", "ALL_PROXY"), own_ports)
        https = _parse_upstream(said("HTTPS_PROXY", "ALL_PROXY"), own_ports)
        exempt = tuple(part.strip().lower() for part in said("NO_PROXY").split(",") if part.strip())
        return cls(http, https, exempt)

    def for_host(self, host: str, port: int, scheme: str) -> Upstream | None:
        upstream = self.https if scheme == "https" else self.http
        return None if upstream is None or self._is_exempt(host.lower().rstrip("."), port) else upstream

    def _is_exempt(self, host: str, port: int) -> bool:
        for rule in self.exempt:
            name, _, said_port = rule.partition(":") if rule.count(":") == 1 else (rule, "", "")
            if said_port and said_port != str(port):
                continue
            name = name.lstrip("*").lstrip(".")
            if rule == "*" or host == name or (name and host.endswith("." + name)):
                return True
            if "/" in rule and _in_network(host, rule):
                return True
        return False


def _in_network(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _parse_upstream(url: str, own_ports: Collection[int]) -> Upstream | None:
    if not url:
        return None
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if port in own_ports and parts.hostname in ("127.0.0.1", "localhost", "::1"):
        return None
    authorization = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Upstream(parts.hostname, port, authorization, parts.scheme == "https")
