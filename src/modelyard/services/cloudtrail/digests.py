"""Digest files: once an hour, which files a trail delivered and their hashes, signed, each naming the one before it.

`aws cloudtrail validate-logs` checks them with the public key of ListPublicKeys. Source: "Validating CloudTrail log file integrity" of CloudTrail's
user guide: what is signed is end, place, hash and the signature of the digest before, a line each (SHA256withRSA, PKCS #1 v1.5).
"""

from __future__ import annotations

import gzip
import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from modelyard.kernel.paging import decode_token
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.cloudtrail import api
from modelyard.services.cloudtrail.event import moment
from modelyard.services.iam.vault import write_once

ALGORITHM = "SHA256withRSA"
EVERY_S = 3600.0
_VALID_S = 366 * 86400.0
"""Of the key, before and after the moment that is asked for: it never changes."""


class Signer:
    """The platform's key for digests: `secrets/trail.key` (0600), made with the first digest."""

    def __init__(self, folder: Path) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / "trail.key"
        self._key: Any = load_der_private_key(write_once(path, b"" if path.exists() else _new_key()), None)
        self.public = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
        self.fingerprint = hashlib.md5(self.public, usedforsecurity=False).hexdigest()

    def sign(self, text: str) -> str:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._key.sign(text.encode(), PKCS1v15(), SHA256()).hex()


signer_of = lru_cache(4)(Signer)
"""Of a folder of secrets: its key is read and checked once, not for each region of each hour."""


def _new_key() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


@api.operation
def list_public_keys(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """The one key, valid in the whole of the time asked for."""
    start, end = request.get("StartTime"), request.get("EndTime")
    if start is not None and end is not None and start > end:
        raise api.error.InvalidTimeRangeException("The specified time range is not valid. The start time must be before the end time.")
    decode_token(request.get("NextToken"), api.error.InvalidTokenException, like="")
    signer, now = signer_of(call.platform.settings.secrets), call.now()
    validity = {"ValidityStartTime": min(start or now, now) - _VALID_S, "ValidityEndTime": max(end or now, now) + _VALID_S}
    return {"PublicKeyList": [{"Value": signer.public, "Fingerprint": signer.fingerprint, **validity}]}


def entry(bucket: str, key: str, text: bytes, events: list[dict[str, Any]]) -> dict[str, Any]:
    """What a digest says of a delivered file, whose text is hashed before it is compressed."""
    times = [event["eventTime"] for event in events]
    return {
        "s3Bucket": bucket,
        "s3Object": key,
        "hashValue": hashlib.sha256(text).hexdigest(),
        "hashAlgorithm": "SHA-256",
        "newestEventTime": max(times),
        "oldestEventTime": min(times),
    }


def put(platform: Any, trail: Record, folder: str, region: str, span: tuple[float, float], files: list[Any], before: Any) -> dict[str, Any]:
    """Puts the digest of (start, end] of platform time; answers what the next one says of it. `folder` is the trail's in its bucket;
    `before` is the answer for the last one (None: the chain begins)."""
    start, end = span
    bucket, signer = trail.spec["S3BucketName"], signer_of(platform.settings.secrets)
    at = datetime.fromtimestamp(int(end), UTC)
    name = f"{trail.account}_CloudTrail-Digest_{region}_{trail.name}_{trail.region}_{at:%Y%m%dT%H%M%SZ}.json.gz"
    key = f"{folder}CloudTrail-Digest/{region}/{at:%Y/%m/%d}/{name}"
    before = before or {}
    digest = {
        "awsAccountId": trail.account,
        "digestStartTime": moment(start),
        "digestEndTime": moment(end),
        "digestS3Bucket": bucket,
        "digestS3Object": key,
        "digestPublicKeyFingerprint": signer.fingerprint,
        "digestSignatureAlgorithm": ALGORITHM,
        "newestEventTime": max((one["newestEventTime"] for one in files), default=None),
        "oldestEventTime": min((one["oldestEventTime"] for one in files), default=None),
        "previousDigestS3Bucket": before.get("bucket"),
        "previousDigestS3Object": before.get("key"),
        "previousDigestHashValue": before.get("hash"),
        "previousDigestHashAlgorithm": "SHA-256" if before else None,
        "previousDigestSignature": before.get("signature"),
        "logFiles": files,
    }
    text = orjson.dumps(digest)
    hashed = hashlib.sha256(text).hexdigest()
    signature = signer.sign(f"{moment(end)}\n{bucket}/{key}\n{hashed}\n{before.get('signature') or 'null'}")
    metadata = {"signature": signature, "signature-algorithm": ALGORITHM}
    platform.objects.put_bytes(trail.account, bucket, key, gzip.compress(text, mtime=0), "application/json", metadata)
    return {"bucket": bucket, "key": key, "hash": hashed, "signature": signature}
