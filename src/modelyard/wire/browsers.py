"""Web pages of strangers must not act through the browser of the one at the machine.

A page can make a browser send requests to 127.0.0.1, and with a name of its own that resolves there (DNS rebinding) even
read the answers. Where signatures are checked that leads nowhere. Where any key will do (`--auth open`) a request that carries
none, or whose key is in the query, could come from any page: what browsers tell of where it comes from decides.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from modelyard.kernel.errors import ApiError
from modelyard.wire.awshosts import is_aws_host
from modelyard.wire.hosts import name_of
from modelyard.wire.http import HttpRequest


def refuse_strangers_pages(request: HttpRequest) -> None:
    """Raises AccessDenied (403) for what only a web page of another site would send."""
    if not is_ours(request.header("host")):
        raise _refused("the Host header names neither this machine nor AWS")
    origin = request.header("origin")
    if origin and not _is_local_origin(origin):
        raise _refused(f"it comes from a web page of {origin[:100]}")
    site = request.header("sec-fetch-site")
    if site == "cross-site" and not origin and request.method not in ("GET", "HEAD"):
        raise _refused("it comes from a web page of another site")
    if site == "cross-site" and not origin and request.header("sec-fetch-mode") != "navigate":
        raise _refused("it is embedded in a web page of another site")


def is_ours(host: str) -> bool:
    """`127.0.0.1:4566`, `localhost`, `b.s3.localhost`, AWS's own names, addresses, names without a dot; nobody else's domain."""
    name = name_of(host)
    return "." not in name or name.endswith(".localhost") or is_aws_host(name) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_local_origin(origin: str) -> bool:
    try:
        name = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    return name == "localhost" or name.endswith(".localhost") or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def _refused(why: str) -> ApiError:
    return ApiError("AccessDenied", f"The request is not served without a signature that is checked (--auth open): {why}.", 403)
