"""Multipart uploads: create, parts, complete, abort.

Source: "Multipart upload overview" and "Checking object integrity" of the S3 user guide. Parts are blobs of their own;
completing joins them (inside the kernel, with shared extents where the file system can) into the object's blob.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from itertools import pairwise
from typing import Any
from urllib.parse import quote

from modelyard.kernel.database import Tx
from modelyard.services.s3 import acl, api, checksums
from modelyard.services.s3.blobs import join
from modelyard.services.s3.conditions import conflict, write_condition
from modelyard.services.s3.copy import SliceBody, open_source, source_version
from modelyard.services.s3.depot import Depot, Draft, depot_of, owned_bucket
from modelyard.services.s3.encryption import check_completing, resumed
from modelyard.services.s3.errors import invalid_argument, no_such_bucket, no_such_upload, s3_error
from modelyard.services.s3.index import Bucket, Part, Upload, Version, dump, is_small
from modelyard.services.s3.ingest import Promise, Received, as_body, receive
from modelyard.services.s3.keys import check_key, checksum_members, encryption_member, written_member
from modelyard.services.s3.new_object import properties
from modelyard.services.s3.notices import Cause

SMALLEST_PART = 5 << 20
LARGEST_OBJECT = 5 << 40
MOST_PARTS = 10_000
_COPY_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{1,18})")


@api.operation
def create_multipart_upload(call, request):
    depot, home, key = depot_of(call), owned_bucket(call, request), request["Key"]
    check_key(key)
    algorithm, kind = _checksum_kind(request)
    meta = {**properties(call, home, request)[0], "algorithm": algorithm, "checksum_type": kind, "asked": "ChecksumAlgorithm" in request}
    upload_id = secrets.token_urlsafe(48)

    def work(tx: Tx) -> None:
        if depot.index.bucket(home.name, tx) is None:
            raise no_such_bucket(home.name)
        tx.execute(
            "INSERT INTO s3_uploads (id, bucket, key, initiated, initiator, meta) VALUES (?,?,?,?,?,?)",
            (upload_id, home.name, key, call.now(), _initiator(call), dump(meta)),
        )

    depot.index.db.grouped(work)
    told = {"ChecksumAlgorithm": algorithm, "ChecksumType": kind} if meta["asked"] else {}
    return {"Bucket": home.name, "Key": key, "UploadId": upload_id, **encryption_member(meta), **told}


def _initiator(call: Any) -> str:
    """The canonical user of a root, else the ARN of who began the upload."""
    return acl.canonical_id(call.account) if call.principal.kind in ("root", "anonymous") else call.principal.arn


@api.operation
def upload_part(call, request):
    depot, number = depot_of(call), request["PartNumber"]
    _, upload = find_upload(call, request)
    _check_number(number)
    promise, plan = Promise.of(request), resumed(depot.ring, upload.meta, request, call)
    promise.etag_key = plan and plan.etag_key()
    _check_algorithm(upload, promise)
    told = set(promise.algorithms) or {upload.meta["algorithm"]}
    promise.algorithms.add(upload.meta["algorithm"])  # what the whole is made of is kept of every part
    received = receive(depot.blobs, as_body(request.get("Body")), promise, plan and plan.sealer())
    sums = _keep_part(depot, upload, number, received)
    return {"ETag": f'"{received.etag}"', **encryption_member(upload.meta), **_members({name: sums[name] for name in told})}


@api.operation
def upload_part_copy(call, request):
    depot, number = depot_of(call), request["PartNumber"]
    _, upload = find_upload(call, request)
    _check_number(number)
    plan = resumed(depot.ring, upload.meta, request, call)
    source, data = open_source(call, request)
    try:
        offset, length = _copy_range(request.get("CopySourceRange"), source.size)
        promise = Promise(algorithms={upload.meta["algorithm"]}, etag_key=plan and plan.etag_key())
        received = receive(depot.blobs, SliceBody(data, offset, length), promise, plan and plan.sealer())
    finally:
        if not isinstance(data, bytes):
            data.close()
    sums = _keep_part(depot, upload, number, received)
    version = source_version(source)
    return {
        "CopyPartResult": {"ETag": f'"{received.etag}"', "LastModified": call.now(), **_members(sums)},
        **encryption_member(upload.meta),
        **version,
    }


@api.operation
def abort_multipart_upload(call, request):
    depot = depot_of(call)
    find_upload(call, request)
    parts = depot.index.db.grouped(lambda tx: depot.index.drop_upload(tx, request["UploadId"]))
    depot.drop(part.blob for part in parts)
    return {}


@api.operation
def complete_multipart_upload(call, request):
    depot, home = depot_of(call), owned_bucket(call, request)
    if (done := _completed_before(depot, home, request)) is not None:
        return _completed(call, home, done)
    home, upload = find_upload(call, request)
    check_completing(upload.meta, request)
    condition = _completing_condition(request, upload)
    chosen = _chosen(request, upload, depot.index.parts(upload.id))
    size = sum(part.size for part in chosen)
    if size > LARGEST_OBJECT:
        raise s3_error("EntityTooLarge", ProposedSize=size, MaxSizeAllowed=LARGEST_OBJECT)
    if request.get("MpuObjectSize") is not None and int(request["MpuObjectSize"]) != size:
        text = f"The provided 'x-amz-mp-object-size' header value {request['MpuObjectSize']} does not match what was computed: {size}"
        raise s3_error("InvalidRequest", text)
    meta = _final_meta(request, upload, chosen)
    received = _joined(depot, chosen, size, etag_of(chosen))

    def also(tx: Tx) -> list[str]:
        still = depot.index.upload(upload.id, tx)
        if still is None:
            raise no_such_upload(upload.id)  # completed or aborted by another call meanwhile
        if still.meta.get("deleted") and "IfNoneMatch" in request:
            raise conflict("If-None-Match", upload.key)
        return [part.blob for part in depot.index.drop_upload(tx, upload.id)]

    cause = Cause("ObjectCreated:CompleteMultipartUpload", call)
    return _completed(call, home, depot.put(home.name, upload.key, Draft(received, meta), condition, also, cause))


def _completing_condition(request: dict[str, Any], upload: Upload) -> Any:
    """What a PUT may ask, and that the object was not written since the upload began: who compares must begin anew then."""
    asked = write_condition(request)

    def check(have: Version | None) -> None:
        asked(have)
        if "IfMatch" in request and have is not None and have.modified > upload.initiated:
            raise conflict("If-Match", upload.key)

    return check


def _completed_before(depot: Depot, home: Bucket, request: dict[str, Any]) -> Version | None:
    """The object of an upload that was completed already, for who asks again because the answer was lost."""
    have = depot.index.latest(home.name, request["Key"])
    return have if have is not None and have.meta.get("upload") == request["UploadId"] else None


def _completed(call: Any, home: Bucket, new: Version) -> dict[str, Any]:
    return {
        "Location": f"{'https' if call.secure else 'http'}://{call.host}/{home.name}/{quote(new.key)}",
        "Bucket": home.name,
        "Key": new.key,
        "ETag": f'"{new.etag}"',
        **{name: value for name, value in encryption_member(new.meta).items() if not name.startswith("SSECustomer")},
        **checksum_members(new),
        **written_member(new, home.versioning),
    }


# --- pure parts ------------------------------------------------------------------------------------


def etag_of(parts: list[Part]) -> str:
    """`md5(md5s of the parts)-N`."""
    digests = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _checksum_kind(request: dict[str, Any]) -> tuple[str, str]:
    """(algorithm, COMPOSITE | FULL_OBJECT); S3's default is a full-object CRC64NVME."""
    algorithm = request.get("ChecksumAlgorithm", checksums.DEFAULT)
    checksums.hasher(algorithm)
    kind = request.get("ChecksumType") or ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")
    bad = (kind == "COMPOSITE" and algorithm == "CRC64NVME") or (kind == "FULL_OBJECT" and not checksums.is_crc(algorithm))
    if bad:
        raise s3_error("InvalidRequest", f"The {kind} checksum type cannot be used with the {algorithm.lower()} checksum algorithm.")
    return algorithm, kind


def _check_algorithm(upload: Upload, promise: Promise) -> None:
    wanted = upload.meta["algorithm"]
    other = sorted((promise.algorithms | set(promise.values)) - {wanted})
    if other and upload.meta["asked"]:
        raise s3_error(
            "InvalidRequest",
            f"Checksum Type mismatch occurred, expected checksum Type: {wanted.lower()}, actual checksum Type: {other[0].lower()}",
        )


def _check_number(number: int) -> None:
    if not 1 <= number <= MOST_PARTS:
        raise invalid_argument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", number)


def _copy_range(text: str | None, size: int) -> tuple[int, int]:
    if text is None:
        return 0, size
    found = _COPY_RANGE.fullmatch(text)
    if not found or int(found[1]) > int(found[2]):
        raise invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets "
            "of the first and last bytes to copy",
            "x-amz-copy-source-range",
            text,
        )
    first, last = int(found[1]), int(found[2])
    if last >= size:
        raise invalid_argument(f"Range specified is not valid for source object of size: {size}", "x-amz-copy-source-range", text)
    return first, last - first + 1


def _chosen(request: dict[str, Any], upload: Upload, have: list[Part]) -> list[Part]:
    """The parts that the client names, checked: order, presence, ETags, checksums, sizes."""
    named = (request.get("MultipartUpload") or {}).get("Parts") or []
    if not named:
        raise s3_error("InvalidRequest", "You must specify at least one part")
    numbers = [one.get("PartNumber", 0) for one in named]
    if any(a >= b for a, b in pairwise(numbers)):
        raise s3_error("InvalidPartOrder", UploadId=upload.id)
    by_number, chosen = {part.number: part for part in have}, []
    for one in named:
        part, etag = by_number.get(one.get("PartNumber", 0)), one.get("ETag", "").strip('"')
        if part is None or part.etag != etag:
            raise s3_error("InvalidPart", UploadId=upload.id, PartNumber=one.get("PartNumber"), ETag=etag)
        said = checksums.expected(one)
        if any(part.checksums.get(name) != value for name, value in said.items()):
            raise s3_error("InvalidPart", UploadId=upload.id, PartNumber=part.number, ETag=etag)
        if not said and upload.meta["asked"] and upload.meta["checksum_type"] == "COMPOSITE":
            raise s3_error(
                "InvalidRequest",
                f"The upload was created using a {upload.meta['algorithm'].lower()} checksum. The complete request must include the checksum "
                f"for each part. It was missing for part {part.number} in the request.",
            )
        chosen.append(part)
    for part in chosen[:-1]:
        if part.size < SMALLEST_PART:
            raise s3_error("EntityTooSmall", ProposedSize=part.size, MinSizeAllowed=SMALLEST_PART, PartNumber=part.number, ETag=part.etag)
    return chosen


def _final_meta(request: dict[str, Any], upload: Upload, parts: list[Part]) -> dict[str, Any]:
    """The object's meta, with the checksum of the whole; BadDigest where the client stated another."""
    algorithm, kind = upload.meta["algorithm"], upload.meta["checksum_type"]
    if request.get("ChecksumType") not in (None, kind):
        raise s3_error(
            "InvalidRequest",
            f"The upload was created using the {kind} checksum mode. The complete request must use the same checksum mode.",
        )
    sums = [(part.checksums[algorithm], part.size) for part in parts]
    whole = checksums.joined_crc(algorithm, sums) if kind == "FULL_OBJECT" else checksums.composite(algorithm, [one for one, _ in sums])
    stated = request.get(f"Checksum{algorithm}")
    if stated and stated.partition("-")[0] != whole.partition("-")[0]:
        raise s3_error("BadDigest", f"The {algorithm.lower()} you specified did not match the calculated checksum.")
    kept = {name: value for name, value in upload.meta.items() if name not in ("algorithm", "asked", "deleted")}
    if "sealed" in kept:
        kept["sealed"] = {**kept["sealed"], "pieces": [[part.size, part.salt] for part in parts]}
    return {**kept, "upload": upload.id, "checksums": {algorithm: whole}, "parts": [[part.size, part.checksums] for part in parts]}


# --- edges -----------------------------------------------------------------------------------------


def find_upload(call: Any, request: dict[str, Any]) -> tuple[Bucket, Upload]:
    home = owned_bucket(call, request)
    upload = depot_of(call).index.upload(request["UploadId"])
    if upload is None or (upload.bucket, upload.key) != (home.name, request["Key"]):
        raise no_such_upload(request["UploadId"])
    return home, upload


def _keep_part(depot: Depot, upload: Upload, number: int, received: Received) -> dict[str, str]:
    """Commits the row of a part, replacing an older one of its number. Answers its checksums."""
    free: list[str] = []

    def work(tx: Tx) -> None:
        if depot.index.upload(upload.id, tx) is None:
            raise no_such_upload(upload.id)
        for (old,) in tx.execute("DELETE FROM s3_parts WHERE upload = ? AND number = ? RETURNING blob", (upload.id, number)):
            depot.index.drop_small(tx, old)
            free.append(old)
        blob = received.blob if received.small is None else depot.index.keep_small(tx, received.small)
        tx.execute(
            "INSERT INTO s3_parts (upload, number, size, etag, modified, blob, checksums, salt) VALUES (?,?,?,?,?,?,?,?)",
            (upload.id, number, received.size, received.etag, depot.clock.now(), blob, dump(received.checksums), received.salt),
        )

    try:
        depot.index.db.grouped(work)
    except BaseException:
        depot.drop([received.blob])
        raise
    depot.drop(free)
    return received.checksums


def _joined(depot: Depot, parts: list[Part], size: int, etag: str) -> Received:
    """One blob of all parts. A part that vanished meanwhile means the upload was completed or aborted."""
    if len(parts) == 1 and is_small(parts[0].blob):
        return Received(size, etag, {}, small=_small(depot, parts[0]))
    try:
        return Received(size, etag, {}, blob=join(depot.blobs, (_open(depot, part) for part in parts)))
    except FileNotFoundError:
        raise s3_error("InvalidPart") from None


def _open(depot: Depot, part: Part) -> Any:
    import io

    return io.BytesIO(_small(depot, part)) if is_small(part.blob) or not part.blob else depot.blobs.open(part.blob)


def _small(depot: Depot, part: Part) -> bytes:
    data = depot.index.small(part.blob)
    if data is None:
        raise s3_error("InvalidPart", PartNumber=part.number)
    return data


def _members(sums: dict[str, str]) -> dict[str, str]:
    return {f"Checksum{name}": value for name, value in sums.items()}
