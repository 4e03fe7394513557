"""ListObjects, ListObjectsV2, ListObjectVersions.

With a delimiter the walk skips: once a common prefix is seen, it goes on behind it with one index search, so a
million keys under one prefix cost one step. Keys sort by their UTF-8 bytes.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from modelyard.services.s3 import acl, api
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import invalid_argument, s3_error
from modelyard.services.s3.index import Bucket, Version, successor

_MOST = 1000


@dataclass
class Page:
    """What one listing answers: versions and common prefixes in order, and where the next page begins."""

    items: list[Version] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    truncated: bool = False
    last: Version | str = ""
    """The last thing on the page: a version, or a common prefix."""

    @property
    def count(self) -> int:
        return len(self.items) + len(self.prefixes)


Fetch = Callable[[str, bool, int], list[Version]]
"""(low, inclusive, limit) → versions in order."""


def walk(fetch: Fetch, low: str, inclusive: bool, prefix: str, delimiter: str, skip: str = "") -> Iterator[Version | str]:
    """Versions and common prefixes (as str) in order. `skip` is a common prefix that was told before."""
    batch = 32
    while True:
        rows = fetch(low, inclusive, batch)
        for row in rows:
            common = common_prefix(row.key, prefix, delimiter)
            if common is None:
                yield row
                continue
            if common != skip:
                yield common
            low, inclusive, batch = successor(common), True, 4
            if not low:
                return
            break
        else:
            if len(rows) < batch:
                return
            low, inclusive, batch = rows[-1].key, False, min(batch * 4, _MOST + 1)


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    at = key.find(delimiter, len(prefix)) if delimiter else -1
    return None if at < 0 else key[: at + len(delimiter)]


def take(things: Iterator[Version | str], limit: int) -> Page:
    page = Page()
    if limit == 0:
        return page
    for thing in things:
        if page.count == limit:
            page.truncated = True
            break
        if isinstance(thing, str):
            page.prefixes.append(thing)
        else:
            page.items.append(thing)
        page.last = thing
    return page


def current_page(
    index: Any, bucket: str, prefix: str, delimiter: str, after: str, limit: int, skip: str = "", inclusive: bool = False
) -> Page:
    """A page of live objects whose keys start with `prefix` and come after `after`."""
    high = successor(prefix) or None
    low = prefix if after < prefix else after
    include = True if after < prefix else inclusive

    def fetch(low: str, inclusive: bool, count: int) -> list[Version]:
        if high is not None and low >= high:
            return []
        return index.current(bucket, low, inclusive, high, count)

    return take(walk(fetch, low, include, prefix, delimiter, skip), limit)


@api.operation
def list_objects(call, request):
    home = owned_bucket(call, request)
    prefix, delimiter, marker, most = _asked(request, "Marker")
    skip = common_prefix(marker, prefix, delimiter) if marker.startswith(prefix) else None
    page = current_page(depot_of(call).index, home.name, prefix, delimiter, marker, most, skip or "")
    url = name_encoder(request)
    answer = {
        **_echo(request, url, page, most),
        "Marker": url(marker),
        "Contents": [{**_entry(one, url), "Owner": acl.user(acl.owner_account(home, one))} for one in page.items],
    }
    if page.truncated and delimiter:
        answer["NextMarker"] = url(_name(page.last))
    return answer


@api.operation
def list_objects_v2(call, request):
    home = owned_bucket(call, request)
    prefix, delimiter, after, most = _asked(request, "StartAfter")
    token, skip, url = request.get("ContinuationToken"), "", name_encoder(request)
    start = after
    if token is not None:
        start, skip = _read_token(token)
    page = current_page(depot_of(call).index, home.name, prefix, delimiter, start, most, skip)
    tell = bool(request.get("FetchOwner"))
    answer = {
        **_echo(request, url, page, most),
        "KeyCount": page.count,
        "Contents": [{**_entry(one, url), **({"Owner": acl.user(acl.owner_account(home, one))} if tell else {})} for one in page.items],
    }
    if "StartAfter" in request and token is None:
        answer["StartAfter"] = url(after)
    if token is not None:
        answer["ContinuationToken"] = token
    if page.truncated:
        answer["NextContinuationToken"] = _write_token(page.last)
    return answer


@api.operation
def list_object_versions(call, request):
    home, index = owned_bucket(call, request), depot_of(call).index
    prefix, delimiter, marker, most = _asked(request, "KeyMarker")
    version_marker, url = request.get("VersionIdMarker"), name_encoder(request)
    if version_marker and not marker:
        raise invalid_argument("A version-id marker cannot be specified without a key marker.", "version-id-marker", version_marker)
    page = take(_walk_versions(index, home.name, prefix, delimiter, marker, version_marker), most)
    answer = {
        **_echo(request, url, page, most),
        "KeyMarker": url(marker),
        "VersionIdMarker": version_marker or "",
        "Versions": [{**_entry(one, url), **_version_entry(home, one, url)} for one in page.items if not one.marker],
        "DeleteMarkers": [{**_version_entry(home, one, url), "LastModified": one.modified} for one in page.items if one.marker],
    }
    if page.truncated:
        answer["NextKeyMarker"] = url(_name(page.last))
        if isinstance(page.last, Version):
            answer["NextVersionIdMarker"] = page.last.version
    return answer


def _walk_versions(
    index: Any, bucket: str, prefix: str, delimiter: str, marker: str, version_marker: str | None
) -> Iterator[Version | str]:
    """History by key, newest first. Pages of one key go on by row id, so a key may have any number of versions."""
    high = successor(prefix) or None
    at = index.version(bucket, marker, version_marker) if version_marker else None
    if at is not None and common_prefix(marker, prefix, delimiter) is None:
        yield from _older(index, at)
    low, inclusive = (prefix, True) if marker < prefix else (marker, False)
    skip = (common_prefix(marker, prefix, delimiter) if marker.startswith(prefix) else None) or ""
    while high is None or low < high:
        rows = index.history(bucket, low, inclusive, high, _MOST)
        for row in rows:
            common = common_prefix(row.key, prefix, delimiter)
            if common is not None:
                if common != skip:
                    yield common
                low, inclusive = successor(common), True
                break
            yield row
        else:
            if len(rows) < _MOST:
                return
            yield from _older(index, rows[-1])
            low, inclusive = rows[-1].key, False
        if not low:
            return


def _older(index: Any, last: Version) -> Iterator[Version]:
    while rows := index.older(last.bucket, last.key, last.id, _MOST):
        yield from rows
        last = rows[-1]


# --- what requests and answers have in common ------------------------------------------------------


def _asked(request: dict[str, Any], marker: str) -> tuple[str, str, str, int]:
    most = request.get("MaxKeys", _MOST)
    if most < 0:
        raise invalid_argument("Argument maxKeys must be an integer between 0 and 2147483647", "max-keys", most)
    if request.get("EncodingType") not in (None, "url"):
        raise invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", request["EncodingType"])
    return request.get("Prefix") or "", request.get("Delimiter") or "", request.get(marker) or "", min(most, _MOST)


def name_encoder(request: dict[str, Any]) -> Callable[[str], str]:
    if request.get("EncodingType") == "url":
        return lambda name: quote(name, safe="/~*")
    return lambda name: name


def _echo(request: dict[str, Any], url: Callable[[str], str], page: Page, most: int) -> dict[str, Any]:
    answer = {
        "Name": request["Bucket"],
        "Prefix": url(request.get("Prefix") or ""),
        "MaxKeys": most,
        "IsTruncated": page.truncated,
        "CommonPrefixes": [{"Prefix": url(name)} for name in page.prefixes],
    }
    if request.get("Delimiter"):
        answer["Delimiter"] = url(request["Delimiter"])
    if request.get("EncodingType"):
        answer["EncodingType"] = request["EncodingType"]
    return answer


def _entry(one: Version, url: Callable[[str], str]) -> dict[str, Any]:
    answer = {
        "Key": url(one.key),
        "LastModified": one.modified,
        "ETag": f'"{one.etag}"',
        "Size": one.size,
        "StorageClass": one.meta.get("storage", "STANDARD"),
    }
    if one.meta.get("checksums"):
        answer["ChecksumAlgorithm"] = list(one.meta["checksums"])
        answer["ChecksumType"] = one.meta.get("checksum_type", "FULL_OBJECT")
    return answer


def _version_entry(home: Bucket, one: Version, url: Callable[[str], str]) -> dict[str, Any]:
    return {"Key": url(one.key), "VersionId": one.version, "IsLatest": one.latest, "Owner": acl.user(acl.owner_account(home, one))}


def _name(thing: Version | str) -> str:
    return thing if isinstance(thing, str) else thing.key


def _write_token(last: Version | str) -> str:
    """Opaque to clients: a kind letter (key, or common prefix to skip) and the name."""
    kind = "p" if isinstance(last, str) else "k"
    return base64.urlsafe_b64encode(f"{kind}{_name(last)}".encode()).decode()


def _read_token(token: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(token.encode(), altchars=b"-_", validate=True).decode()
    except ValueError:
        text = ""
    if text[:1] not in ("p", "k"):
        raise s3_error("InvalidArgument", "The continuation token provided is incorrect", ArgumentName="continuation-token")
    return text[1:], text[1:] if text[0] == "p" else ""
