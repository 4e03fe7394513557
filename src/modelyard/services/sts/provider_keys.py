"""The keys that an OpenID Connect provider publishes. Only providers on this machine are called: nothing here reaches out, and a
provider's URL is a user's word."""

from __future__ import annotations

import hashlib
import http.client
import ssl
from typing import Any
from urllib.parse import urlsplit

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.platform import Platform
from modelyard.kernel.records import Record
from modelyard.services.sts import api

LOOPBACK = {"localhost": "127.0.0.1", "127.0.0.1": "127.0.0.1"}
SECONDS, BYTES = 5.0, 1 << 20


def of(platform: Platform, provider: Record) -> list[Any]:
    """The JWKS of a provider's configuration. Raises IDPCommunicationError."""
    base = f"{provider.spec['Scheme']}://{provider.spec['Url']}"
    found = _get(platform, provider, f"{base}/.well-known/openid-configuration").get("jwks_uri")
    if not isinstance(found, str):
        raise _unreachable("its configuration names no keys")
    keys = _get(platform, provider, found).get("keys")
    return keys if isinstance(keys, list) else []


def _get(platform: Platform, provider: Record, url: str) -> dict[str, Any]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise _unreachable("its address is none") from None
    address = LOOPBACK.get(parts.hostname or "")
    if address is None or parts.scheme not in ("https", "http"):
        raise _unreachable("this platform calls identity providers on 127.0.0.1 only")
    own = platform.parts.get("own_ports")
    if own is not None and port in own():
        raise _unreachable("that is a port of the platform itself")
    try:
        body = _read(_connection(parts.scheme, address, port, provider.spec["ThumbprintList"]), parts.path or "/", parts.netloc)
        answer = orjson.loads(body)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        raise _unreachable(type(problem).__name__) from None
    if not isinstance(answer, dict):
        raise _unreachable("it answered no JSON object")
    return answer


def _connection(scheme: str, address: str, port: int, thumbprints: list[str]) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(address, port, timeout=SECONDS)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the thumbprint is what is believed, as on AWS
    connection = http.client.HTTPSConnection(address, port, timeout=SECONDS, context=context)
    connection.connect()
    certificate = connection.sock.getpeercert(binary_form=True) or b""
    if hashlib.sha1(certificate, usedforsecurity=False).hexdigest() not in thumbprints:
        connection.close()
        raise _unreachable("its certificate has none of the provider's thumbprints")
    return connection


def _read(connection: http.client.HTTPConnection, path: str, host: str) -> bytes:
    try:
        connection.request("GET", path, headers={"Host": host, "Accept": "application/json"})
        response = connection.getresponse()
        body = response.read(BYTES + 1)
        if response.status != 200 or len(body) > BYTES:
            raise ValueError
        return body
    finally:
        connection.close()


def _unreachable(why: str) -> ApiError:
    return api.error.IDPCommunicationErrorException(f"Couldn't retrieve verification key from your identity provider: {why}.")
