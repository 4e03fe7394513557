"""ListParts and ListMultipartUploads."""

from __future__ import annotations

from typing import Any

from modelyard.services.s3 import acl, api
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.index import Bucket, Upload, successor
from modelyard.services.s3.listing import common_prefix, name_encoder
from modelyard.services.s3.multipart import find_upload

_MOST = 1000


@api.operation
def list_parts(call, request):
    home, upload = find_upload(call, request)
    after, most = int(request.get("PartNumberMarker") or 0), min(request.get("MaxParts", _MOST), _MOST)
    parts = depot_of(call).index.parts(upload.id, after, most + 1)
    page = parts[:most]
    answer = {
        "Bucket": home.name,
        "Key": upload.key,
        "UploadId": upload.id,
        "PartNumberMarker": after,
        "NextPartNumberMarker": page[-1].number if page else 0,
        "MaxParts": most,
        "IsTruncated": len(parts) > most,
        "Parts": [
            {
                "PartNumber": part.number,
                "LastModified": part.modified,
                "ETag": f'"{part.etag}"',
                "Size": part.size,
                **{
                    f"Checksum{name}": value
                    for name, value in part.checksums.items()
                    if upload.meta["asked"] and name == upload.meta["algorithm"]
                },
            }
            for part in page
        ],
        **_about(home, upload),
    }
    return answer


@api.operation
def list_multipart_uploads(call, request):
    home, index = owned_bucket(call, request), depot_of(call).index
    prefix, delimiter = request.get("Prefix") or "", request.get("Delimiter") or ""
    marker, id_marker = request.get("KeyMarker") or "", request.get("UploadIdMarker") or ""
    most, url = min(request.get("MaxUploads", _MOST), _MOST), name_encoder(request)
    rows = index.uploads(home.name, max(prefix, marker), successor(prefix) or None, 1 << 30)
    rows = _after(rows, marker, id_marker)
    uploads, prefixes, truncated, last = _page(rows, prefix, delimiter, marker, most)
    answer: dict[str, Any] = {
        "Bucket": home.name,
        **({"Prefix": url(prefix)} if prefix else {}),
        "KeyMarker": url(marker),
        "UploadIdMarker": id_marker if marker else "",
        "MaxUploads": most,
        "IsTruncated": truncated,
        "Uploads": [{"Key": url(one.key), "UploadId": one.id, "Initiated": one.initiated, **_about(home, one)} for one in uploads],
        "CommonPrefixes": [{"Prefix": url(name)} for name in prefixes],
    }
    if delimiter:
        answer["Delimiter"] = url(delimiter)
    if request.get("EncodingType"):
        answer["EncodingType"] = request["EncodingType"]
    if truncated:
        answer["NextKeyMarker"] = url(last if isinstance(last, str) else last.key)
        answer["NextUploadIdMarker"] = "" if isinstance(last, str) else last.id
    else:  # told at the end too, but where a prefix is the last
        answer["NextKeyMarker"] = url(uploads[-1].key) if uploads and not prefixes else ""
        answer["NextUploadIdMarker"] = uploads[-1].id if uploads and not prefixes else ""
    return answer


def _after(rows: list[Upload], marker: str, id_marker: str) -> list[Upload]:
    """Uploads behind the markers: other uploads of the marker's key only where an upload id is named too."""
    if not marker:
        return rows
    same = [row for row in rows if row.key == marker]
    at = next((n for n, row in enumerate(same) if row.id == id_marker), None) if id_marker else None
    return ([] if at is None else same[at + 1 :]) + [row for row in rows if row.key > marker]


def _page(rows: list[Upload], prefix: str, delimiter: str, marker: str, most: int) -> tuple[list[Upload], list[str], bool, Any]:
    uploads: list[Upload] = []
    prefixes: list[str] = []
    last: Any = ""
    told = (common_prefix(marker, prefix, delimiter) if marker.startswith(prefix) else None) or ""
    for row in rows:
        common = common_prefix(row.key, prefix, delimiter)
        if common is not None and common == told:
            continue
        if len(uploads) + len(prefixes) == most:
            return uploads, prefixes, most > 0, last
        if common is not None:
            prefixes.append(common)
            told = last = common
        else:
            uploads.append(row)
            last = row
    return uploads, prefixes, False, last


def _about(home: Bucket, upload: Upload) -> dict[str, Any]:
    owner = acl.user(home.account if acl.enforced(home) else upload.meta.get("owner", home.account))
    about: dict[str, Any] = {
        "Initiator": owner if upload.initiator == owner["ID"] else {"ID": upload.initiator, "DisplayName": _name_in(upload.initiator)},
        "Owner": owner,
        "StorageClass": upload.meta.get("storage", "STANDARD"),
    }
    if upload.meta["asked"]:
        about |= {"ChecksumAlgorithm": upload.meta["algorithm"], "ChecksumType": upload.meta["checksum_type"]}
    return about


def _name_in(arn: str) -> str:
    return arn.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
