"""OpenID Connect providers: whose tokens AssumeRoleWithWebIdentity believes."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, names
from modelyard.services.iam.checks import find, list_tags, new_tags, quota, save, tag, tag_list, untag

MAX_CLIENTS, MAX_THUMBPRINTS = 100, 5
_HOST = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+|localhost").fullmatch
_LOOPBACK = ("localhost", "127.0.0.1")


def arn_of(account: str, bare: str) -> str:
    """`bare` is the URL without its scheme."""
    return f"arn:aws:iam::{account}:oidc-provider/{bare}"


def bare_url(url: str) -> str:
    """The URL as ARNs and condition keys have it: host and path. Raises ValidationError. Plain http is taken for loopback only."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port
    except ValueError:
        parts, host, port = None, "", None
    allowed = parts is not None and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))
    if parts is None or not allowed or not _HOST(host) or parts.query or parts.fragment or "@" in parts.netloc:
        raise ApiError("ValidationError", "Invalid Open ID Connect Provider URL", 400)
    return f"{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _find(call: Call, arn: str) -> Record:
    if ":oidc-provider/" not in arn:
        raise api.error.InvalidInputException(f"Invalid ARN {arn}")
    return find(call, names.OIDC_PROVIDER, arn.split(":oidc-provider/", 1)[1], f"OpenIDConnect Provider not found for arn {arn}")


def _few(clients: list[str], thumbprints: list[str]) -> None:
    if len(clients) > MAX_CLIENTS:
        raise api.error.LimitExceededException(f"Cannot exceed quota for ClientIdsPerOpenIdConnectProvider: {MAX_CLIENTS}")
    if len(thumbprints) > MAX_THUMBPRINTS:
        raise api.error.InvalidInputException("Thumbprint list must contain fewer than 5 entries.")


@api.operation
def create_open_id_connect_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """The provider is not called now; without thumbprints its certificate is not compared with any."""
    url, clients, prints = request["Url"], request.get("ClientIDList", []), request.get("ThumbprintList", [])
    bare = bare_url(url)
    _few(clients, prints)
    spec = {
        "Url": bare,
        "Scheme": urlsplit(url).scheme,
        "ClientIDList": list(dict.fromkeys(clients)),
        "ThumbprintList": [one.lower() for one in prints],
    }
    arn = arn_of(call.account, bare)
    quota(call, names.OIDC_PROVIDER, 100, "OpenIDConnectProviders")
    try:
        record = call.store.create(
            names.OIDC_PROVIDER, account=call.account, region=names.GLOBAL, name=bare, arn=arn, spec=spec, tags=new_tags(request)
        )
    except Taken:
        raise api.error.EntityAlreadyExistsException(f"Provider with url {url} already exists.")
    tags = tag_list(call, record)
    return {"OpenIDConnectProviderArn": arn, **({"Tags": tags} if tags else {})}


@api.operation
def get_open_id_connect_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = _find(call, request["OpenIDConnectProviderArn"])
    shown = {key: record.spec[key] for key in ("Url", "ClientIDList", "ThumbprintList")}
    return {**shown, "CreateDate": record.created_at, "Tags": tag_list(call, record)}


@api.operation
def list_open_id_connect_providers(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    records = call.store.list(names.OIDC_PROVIDER.kind, call.account, names.GLOBAL, order_by="name")
    return {"OpenIDConnectProviderList": [{"Arn": record.arn} for record in records]}


@api.operation
def delete_open_id_connect_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Deleting what is not there is no error, as the API reference says."""
    arn = request["OpenIDConnectProviderArn"]
    record = call.store.get(names.OIDC_PROVIDER.kind, call.account, names.GLOBAL, arn.partition(":oidc-provider/")[2])
    if record is not None and record.arn == arn:
        call.store.delete(record)
    return {}


@api.operation
def add_client_id_to_open_id_connect_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    def change(record: Record) -> dict[str, Any]:
        clients = list(dict.fromkeys([*record.spec["ClientIDList"], request["ClientID"]]))
        _few(clients, [])
        return {"ClientIDList": clients}

    save(call, lambda: _find(call, request["OpenIDConnectProviderArn"]), change)
    return {}


@api.operation
def remove_client_id_from_open_id_connect_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    def change(record: Record) -> dict[str, Any]:
        return {"ClientIDList": [one for one in record.spec["ClientIDList"] if one != request["ClientID"]]}

    save(call, lambda: _find(call, request["OpenIDConnectProviderArn"]), change)
    return {}


@api.operation
def update_open_id_connect_provider_thumbprint(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    _few([], request["ThumbprintList"])
    wanted = {"ThumbprintList": [one.lower() for one in request["ThumbprintList"]]}
    save(call, lambda: _find(call, request["OpenIDConnectProviderArn"]), lambda record: wanted)
    return {}


# --- tags --------------------------------------------------------------------------------------------


@api.operation
def tag_open_id_connect_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return tag(call, lambda: _find(call, request["OpenIDConnectProviderArn"]), request)


@api.operation
def untag_open_id_connect_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return untag(call, lambda: _find(call, request["OpenIDConnectProviderArn"]), request)


@api.operation
def list_open_id_connect_provider_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return list_tags(call, _find(call, request["OpenIDConnectProviderArn"]), request)
