"""Which operation of which service in which protocol a request is, on one port for all of AWS.

The order is that of the clients' habits (docs/reference/wire.md): X-Amz-Target, rpc-v2 path, then the service by credential
scope, else by Host, else by `Action=&Version=`, else S3; within the service by path or by `Action`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from urllib.parse import unquote_plus

from modelyard.kernel import models
from modelyard.kernel.errors import ApiError, not_built
from modelyard.wire import hosts
from modelyard.wire.catalogue import Entry, catalogue
from modelyard.wire.codecs.query import form_pairs
from modelyard.wire.compression import plain_body
from modelyard.wire.http import HttpRequest
from modelyard.wire.rest_routes import BadUri, rest_routes

REST = ("rest-json", "rest-xml")
FORMS = ("query", "ec2")
CBOR = "smithy-rpc-v2-cbor"
MAX_QUERY_PARAMETERS = 1000
_RPC_PATH = re.compile(r"/service/([^/]+)/operation/([^/]+)\Z")
_SCOPE = re.compile(r"Credential=([^,\s]+)")


@dataclass(frozen=True)
class Route:
    """`path_values` are the URI labels, percent-decoded; `query` the query string, decoded, each name with its values."""

    service: str
    operation: str
    protocol: str
    path_values: dict[str, str] = field(default_factory=dict)
    query: dict[str, list[str]] = field(default_factory=dict)

    @cached_property
    def name(self) -> str:
        """`service:Operation`, for logs."""
        return f"{self.service}:{self.operation}"


class NeedsBody(Exception):
    """The operation is named in the body (query, ec2): call `route` again with it."""


class Unroutable(ApiError):
    """No operation that is served. `protocol` and `service` say in whose dialect the client wants to read it."""

    def __init__(self, code: str, message: str, status: int, protocol: str, service: str | None = None) -> None:
        super().__init__(code, message, status)
        self.protocol, self.service = protocol, service


def route(request: HttpRequest, services: Collection[str] | None = None, body: bytes | None = None) -> Route:
    """Raises `NeedsBody` or `Unroutable`. `services` are the names of those registered (None: all that botocore has)."""
    if target := request.header("x-amz-target"):
        return _by_target(target, services)
    if "/operation/" in request.path and (found := _RPC_PATH.search(request.path)):
        return _by_rpc_path(found.group(1), found.group(2), services)
    query = parse_query(request.query)
    entries = _by_scope(request, query)
    if entries is None:
        entries = hosts.services_of(request.header("host"))
    if not entries:
        entries = _by_version(request, query, body) or (catalogue().by_service["s3"],)
    entries = _ordered(entries, services)
    if _is_form(request, query, entries):
        return _by_action(request, query, entries, services, body)
    return _by_path(request, query, entries, services)


def parse_query(text: str) -> dict[str, list[str]]:
    """Decoded names and values of a query string; `+` is a space."""
    out: dict[str, list[str]] = {}
    if not text:
        return out
    parts = text.split("&")
    if len(parts) > MAX_QUERY_PARAMETERS:
        raise BadUri()
    try:
        for part in parts:
            if part:
                name, _, value = part.partition("=")
                if "%" in part or "+" in part:
                    name, value = _decoded(name), _decoded(value)
                out.setdefault(name, []).append(value)
    except UnicodeDecodeError:
        raise BadUri()
    return out


def _decoded(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    return _decoded_before(text) if len(text) <= 256 else unquote_plus(text, errors="strict")


@lru_cache(256)
def _decoded_before(text: str) -> str:
    """The credentials of presigned URLs come again and again."""
    return unquote_plus(text, errors="strict")


# --- which service -----------------------------------------------------------------------------


def _by_scope(request: HttpRequest, query: dict[str, list[str]]) -> Sequence[Entry] | None:
    """The services of the signing name; None for a request that has no SigV4 credential scope."""
    authorization = request.header("authorization")
    if authorization.startswith("AWS4-"):
        found = _SCOPE.search(authorization)
        scope = found.group(1) if found else ""
    elif "X-Amz-Credential" in query:
        scope = query["X-Amz-Credential"][-1]
    elif authorization.startswith("AWS ") or "AWSAccessKeyId" in query:
        return None if "Action" in query or _is_form_post(request) else (catalogue().by_service["s3"],)
    else:
        return None
    parts = scope.split("/")
    signing = parts[-2] if len(parts) >= 4 else ""
    name = {"s3express": "s3", "s3-object-lambda": "s3"}.get(signing, signing)
    entries = catalogue().by_signing.get(name)
    if entries:
        return entries
    if not signing:
        return None
    raise Unroutable("UnknownService", f"Modelyard knows no service that signs as {signing[:64]!r}", 400, _guess_protocol(request))


def _by_version(request: HttpRequest, query: dict[str, list[str]], body: bytes | None) -> Sequence[Entry]:
    """Unsigned forms: `Version=` says the service (AssumeRoleWithWebIdentity and the like)."""
    if not _is_form_post(request) and "Action" not in query:
        return ()
    action, version = _action(query, request, body)
    candidates = [entry for entry in catalogue().by_version.get(version, ()) if set(entry.protocols) & set(FORMS)]
    for entry in candidates:
        if action in models.service_model(entry.service)["operations"]:
            return (entry,)
    if candidates or action:
        said = f" of version {version[:32]}" if version else ""
        raise Unroutable("InvalidAction", f"Could not find operation {action[:128]}{said}", 400, "query")
    return ()


def _ordered(entries: Sequence[Entry], services: Collection[str] | None) -> Sequence[Entry]:
    """Those that are registered first, then the one whose own name is the signing name."""
    if len(entries) == 1:
        return entries
    kept = _orders.get(entries[0].service)
    if kept is not None and kept[0] is entries and kept[1] is services and kept[2] == len(services or ()):
        return kept[3]
    known = services if services is not None else ()
    found = sorted(entries, key=lambda entry: (entry.service not in known, entry.service != entry.signing, entry.service))
    _orders[entries[0].service] = (entries, services, len(known), found)
    return found


_orders: dict[str, tuple[Sequence[Entry], Collection[str] | None, int, Sequence[Entry]]] = {}
"""The last order of each group of services: a process serves one set of them."""


def _guess_protocol(request: HttpRequest) -> str:
    kind = request.header("content-type")
    if kind.startswith("application/x-www-form-urlencoded"):
        return "query"
    return "rest-json" if "json" in kind else CBOR if kind == "application/cbor" else "rest-xml"


# --- which operation ---------------------------------------------------------------------------


def _by_target(target: str, services: Collection[str] | None) -> Route:
    prefix, _, operation = target.rpartition(".")
    entries = catalogue().by_target.get(prefix)
    if not entries:
        raise Unroutable("UnknownOperationException", f"Modelyard knows no service with the target {target[:128]!r}", 400, "json")
    return _named(entries, operation, "json", services)


def _by_rpc_path(prefix: str, operation: str, services: Collection[str] | None) -> Route:
    entries = catalogue().by_target.get(prefix)
    if not entries:
        raise Unroutable("UnknownOperationException", f"Modelyard knows no service {prefix[:128]!r}", 404, CBOR)
    return _named(entries, operation, CBOR, services)


def _named(entries: Sequence[Entry], operation: str, protocol: str, services: Collection[str] | None) -> Route:
    for entry in _ordered(entries, services):
        _require_registered(entry, operation, protocol, services)
        if operation in models.service_model(entry.service)["operations"]:
            return Route(entry.service, operation, protocol)
    service = entries[0].service
    raise Unroutable("UnknownOperationException", f"{service} has no operation {operation[:128]!r}", 400, protocol, service)


def _by_action(
    request: HttpRequest, query: dict[str, list[str]], entries: Sequence[Entry], services: Collection[str] | None, body: bytes | None
) -> Route:
    action, version = _action(query, request, body)
    candidates = [entry for entry in entries if set(entry.protocols) & set(FORMS)]
    candidates.sort(key=lambda entry: entry.version != version)
    service = candidates[0].service
    protocol = "ec2" if "ec2" in candidates[0].protocols else "query"
    if not action:
        raise Unroutable("MissingAction", "The request must contain the parameter Action", 400, protocol, service)
    for entry in candidates:
        _require_registered(entry, action, protocol, services)
        if action in models.service_model(entry.service)["operations"]:
            return Route(entry.service, action, protocol, {}, query)
    said = f" for version {version[:32]}" if version else ""
    raise Unroutable("InvalidAction", f"Could not find operation {action[:128]}{said} of {service}", 400, protocol, service)


def _by_path(request: HttpRequest, query: dict[str, list[str]], entries: Sequence[Entry], services: Collection[str] | None) -> Route:
    headers = request.index
    rest = [entry for entry in entries if entry.protocols[0] in REST]
    for entry in rest:
        path = _s3_path(request) if entry.service == "s3" else request.path
        if entry.service == "s3" and len(rest) > 1 and path.startswith("/v20180820/"):
            continue
        try:
            found = rest_routes(entry.service).find(request.method, path, query, headers)
        except BadUri as problem:
            raise Unroutable(problem.code, problem.message, problem.status, entry.protocols[0], entry.service) from None
        if found is not None:
            operation, values = found
            _require_registered(entry, operation, entry.protocols[0], services)
            return Route(entry.service, operation, entry.protocols[0], values, query)
    raise _no_such_path(request, rest[0] if rest else entries[0])


def _no_such_path(request: HttpRequest, entry: Entry) -> Unroutable:
    if entry.service == "s3":
        text = "The specified method is not allowed against this resource."
        return Unroutable("MethodNotAllowed", text, 405, "rest-xml", "s3")
    text = f"{entry.service} has no operation for {request.method} {request.path[:128]}"
    return Unroutable("UnknownOperationException", text, 404 if entry.protocols[0] in REST else 400, _dialect(entry), entry.service)


def _dialect(entry: Entry) -> str:
    return "json" if "json" in entry.protocols else entry.protocols[0]


def _require_registered(entry: Entry, operation: str, protocol: str, services: Collection[str] | None) -> None:
    if services is not None and entry.service not in services:
        error = not_built(entry.service, operation[:128])
        raise Unroutable(error.code, error.message, error.status, protocol, entry.service)


def _s3_path(request: HttpRequest) -> str:
    """The path with the bucket in it, wherever the client put the bucket."""
    bucket = hosts.bucket_of(request.header("host"))
    return f"/{bucket}{request.path}" if bucket else request.path


# --- forms -------------------------------------------------------------------------------------


def _is_form_post(request: HttpRequest) -> bool:
    return request.method == "POST" and request.header("content-type").startswith("application/x-www-form-urlencoded")


def _is_form(request: HttpRequest, query: dict[str, list[str]], entries: Sequence[Entry]) -> bool:
    if not any(entry.takes_forms for entry in entries):
        return False
    return _is_form_post(request) or "Action" in query or not any(entry.protocols[0] in REST for entry in entries)


def _action(query: dict[str, list[str]], request: HttpRequest, body: bytes | None) -> tuple[str, str]:
    """(Action, Version) of a form, from the query string or the body."""
    if "Action" in query:
        return query["Action"][-1], query.get("Version", [""])[-1]
    if request.method != "POST":
        return "", ""
    if body is None:
        raise NeedsBody()
    pairs = dict(form_pairs(plain_body(request, body)))
    return pairs.get("Action", ""), pairs.get("Version", "")
