"""GetObject, HeadObject, GetObjectAttributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import FileSlice
from modelyard.services.s3 import api
from modelyard.services.s3.conditions import check_read
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.encryption import check_reader, customer_key
from modelyard.services.s3.errors import invalid_argument, s3_error
from modelyard.services.s3.index import Bucket, Version
from modelyard.services.s3.keys import checksum_members, described, version_member
from modelyard.services.s3.lifecycle_rules import expiration_member
from modelyard.services.s3.object_lock import members as lock_members
from modelyard.services.s3.sealing import stream

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_RESPONSE = {
    "ResponseCacheControl": "CacheControl",
    "ResponseContentDisposition": "ContentDisposition",
    "ResponseContentEncoding": "ContentEncoding",
    "ResponseContentLanguage": "ContentLanguage",
    "ResponseContentType": "ContentType",
    "ResponseExpires": "Expires",
}


@api.operation
def get_object(call, request):
    return _get(call, request, _any)


@api.brief("GetObject")
def get_object_briefly(call, request):
    return _briefly(call, request, _get)


class _Sealed(Exception):
    pass


def _any(version: Version) -> None:
    pass


def _refuse_sealed(version: Version) -> None:
    if "sealed" in version.meta:
        raise _Sealed


def _briefly(call: Any, request: dict[str, Any], work: Callable[..., dict[str, Any]]) -> dict[str, Any] | None:
    """What is encrypted takes the keys' service and a cipher; a database elsewhere takes waiting."""
    if not depot_of(call).index.is_local:
        return None
    try:
        return work(call, request, _refuse_sealed)
    except _Sealed:
        return None


def _get(call: Any, request: dict[str, Any], first: Callable[[Version], None]) -> dict[str, Any]:
    home = owned_bucket(call, request)
    _refuse_anonymous_overrides(call, request)
    with hiding_names(call, home.name, request["Key"]):
        found, data = open_object(call, request, home.name, first)
    try:
        answer, offset, length = _answer(request, found, home)
    except BaseException:
        _close(data)
        raise
    if isinstance(data, bytes):
        answer["Body"] = data[offset : offset + length]
    elif "sealed" in found.meta:
        answer["Body"] = stream(data, offset, length)
    else:
        answer["Body"] = FileSlice(data, offset, length)
    return answer


def open_object(call: Any, request: dict[str, Any], bucket: str, first: Callable[[Version], None]) -> tuple[Version, Any]:
    """The version a request means and its bytes, decrypted with what caller and request may and have; `first` looks at it before all else."""
    depot, customer = depot_of(call), customer_key(request)

    def check(version: Version) -> None:
        first(version)
        check_reader(version, customer)
        check_read(request, version, call.now())

    return depot.find_open(
        bucket, request["Key"], request.get("VersionId"), check, lambda version: depot.ring.unlock(version, call, customer)
    )


_NOT_SEALED = {"by": ""}


@api.operation
def head_object(call, request):
    return _head(call, request, _any)


@api.brief("HeadObject")
def head_object_briefly(call, request):
    return _briefly(call, request, _head)


def _head(call: Any, request: dict[str, Any], first: Callable[[Version], None]) -> dict[str, Any]:
    home = owned_bucket(call, request)
    with hiding_names(call, home.name, request["Key"]):
        found = depot_of(call).find(home.name, request["Key"], request.get("VersionId"))
    first(found)
    customer = customer_key(request)
    check_reader(found, customer)
    if found.meta.get("sealed", _NOT_SEALED)["by"] == "customer":
        depot_of(call).ring.unlock(found, call, customer)
    check_read(request, found, call.now())
    return _answer(request, found, home)[0]


@api.operation
def get_object_attributes(call, request):
    home = owned_bucket(call, request)
    with hiding_names(call, home.name, request["Key"]):
        found = depot_of(call).find(home.name, request["Key"], request.get("VersionId"))
    customer = customer_key(request)
    check_reader(found, customer)
    if found.meta.get("sealed", _NOT_SEALED)["by"] == "customer":
        depot_of(call).ring.unlock(found, call, customer)
    wanted = set(request["ObjectAttributes"])
    answer: dict[str, Any] = {"LastModified": found.modified, **version_member(found, home.versioning)}
    if "ETag" in wanted:
        answer["ETag"] = found.etag
    if "ObjectSize" in wanted:
        answer["ObjectSize"] = found.size
    if "StorageClass" in wanted:
        answer["StorageClass"] = found.meta.get("storage", "STANDARD")
    if "Checksum" in wanted and checksum_members(found):
        answer["Checksum"] = {name: value.partition("-")[0] for name, value in checksum_members(found).items()}
    if "ObjectParts" in wanted and found.meta.get("parts"):
        answer["ObjectParts"] = _object_parts(request, found)
    return answer


def _object_parts(request: dict[str, Any], version: Version) -> dict[str, Any]:
    parts, after, most = version.meta["parts"], int(request.get("PartNumberMarker") or 0), min(request.get("MaxParts", 1000), 1000)
    page = list(enumerate(parts, 1))[after : after + most]
    listed = [{"PartNumber": n, "Size": size, **{f"Checksum{name}": v for name, v in sums.items()}} for n, (size, sums) in page]
    answer = {
        "TotalPartsCount": len(parts),
        "PartNumberMarker": after,
        "NextPartNumberMarker": page[-1][0] if page else 0,
        "MaxParts": most,
        "IsTruncated": after + most < len(parts),
    }
    # AWS lists the single parts only of uploads that were made with additional checksums
    return {**answer, "Parts": listed} if version.meta.get("checksums") else answer


def _answer(request: dict[str, Any], version: Version, home: Bucket) -> tuple[dict[str, Any], int, int]:
    """The members of the answer, and the piece of the bytes it is about."""
    answer = {**described(version), **version_member(version, home.versioning)}
    if home.settings and "Lifecycle" in home.settings and request.get("VersionId") is None:
        answer |= expiration_member(home.settings, version)
    for asked, member in _RESPONSE.items():
        if request.get(asked) is not None:
            answer[member] = request[asked]
    if isinstance(answer.get("Expires"), (int, float)):  # the model has it as text
        answer["Expires"] = formatdate(answer["Expires"], usegmt=True)
    if version.meta.get("tags"):
        answer["TagCount"] = len(version.meta["tags"])
    if "lock" in version.meta or "hold" in version.meta:
        answer |= lock_members(version.meta)
    offset, length, partial = _piece(request, version)
    answer["ContentLength"] = length
    if request.get("PartNumber") and version.meta.get("parts"):
        answer["PartsCount"] = len(version.meta["parts"])
    if partial:
        answer["ContentRange"] = f"bytes {offset}-{offset + length - 1}/{version.size}"
    if (request.get("ChecksumMode") or "").upper() == "ENABLED":
        if not partial or (length == version.size and not request.get("PartNumber")):
            answer |= checksum_members(version)
        elif request.get("PartNumber") and version.meta.get("parts"):
            answer |= {f"Checksum{name}": value for name, value in version.meta["parts"][request["PartNumber"] - 1][1].items()}
            answer["ChecksumType"] = version.meta.get("checksum_type", "FULL_OBJECT")
    return answer, offset, length


def _piece(request: dict[str, Any], version: Version) -> tuple[int, int, bool]:
    """(offset, length, whether it is a part of the whole). InvalidRange where nothing of it is there."""
    number = request.get("PartNumber")
    if number is not None:
        if request.get("Range"):
            raise s3_error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter")
        return _part_piece(number, version)
    found = _RANGE.fullmatch((request.get("Range") or "").strip().lower().replace(" ", ""))
    if not found or found.groups() == ("", ""):
        return 0, version.size, False  # no range, or one that is not understood (several ranges too): the whole
    first, last = found.groups()
    if not first:
        length = min(int(last), version.size)
        offset = version.size - length
    else:
        offset = int(first)
        if last and int(last) < offset:
            return 0, version.size, False
        length = min(int(last) if last else version.size, version.size - 1) - offset + 1
    if length <= 0:
        raise s3_error(
            "InvalidRange",
            RangeRequested=request["Range"],
            ActualObjectSize=version.size,
            headers={"content-range": f"bytes */{version.size}"},
        )
    return offset, length, True


def _part_piece(number: int, version: Version) -> tuple[int, int, bool]:
    parts = version.meta.get("parts") or [[version.size, {}]]
    if not 1 <= number <= 10_000:
        raise invalid_argument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", number)
    if number > len(parts):
        raise s3_error("InvalidPartNumber", PartNumberRequested=number, ActualPartCount=len(parts))
    return sum(size for size, _ in parts[: number - 1]), parts[number - 1][0], version.size > 0


def _refuse_anonymous_overrides(call: Any, request: dict[str, Any]) -> None:
    if call.principal.kind == "anonymous" and any(request.get(name) is not None for name in _RESPONSE):
        raise s3_error("InvalidRequest", "Request specific response headers cannot be used for anonymous GET requests.")


@contextmanager
def hiding_names(call: Any, bucket: str, key: str) -> Iterator[None]:
    """Who may not list the bucket is not told that a key is missing: AccessDenied instead of NoSuchKey, as in S3."""
    try:
        yield
    except ApiError as problem:
        if problem.code == "NoSuchKey":
            call.authorize("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": key})
        raise


def _close(data: Any) -> None:
    if not isinstance(data, bytes):
        data.close()
