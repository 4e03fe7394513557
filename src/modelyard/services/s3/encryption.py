"""Server-side encryption: what requests and buckets ask for, and the keys of objects.

Source: "Protecting data with encryption" of the S3 user guide. What is asked for is done: with AES256 (S3's own key), aws:kms and
aws:kms:dsse (a data key of the KMS service) and customer keys (SSE-C, which are never stored) the bytes on disk are encrypted. Where nobody
asks, they lie as the disk keeps them, so that the kernel can send them (`sendfile`); then the answer names no encryption.

`meta["sealed"]`: {"by": s3 | kms | customer, "key": the object's wrapped key, "account", "region", "context" (kms), "check" (customer),
"pieces"}; `meta["encryption"]`: the members that answers tell.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from modelyard.kernel.errors import ApiError
from modelyard.services.iam.vault import write_once
from modelyard.services.s3.errors import invalid_argument, s3_error
from modelyard.services.s3.index import Bucket, Version
from modelyard.services.s3.sealing import Sealer

KMS = ("aws:kms", "aws:kms:dsse")
_KEY_FILE = "s3.key"


@dataclass(frozen=True)
class Plan:
    """How the bytes of a new object (or upload) are encrypted: the members of `meta`, and the key while it is made."""

    meta: dict[str, Any]
    key: bytes

    def sealer(self) -> Sealer:
        return Sealer(self.key)

    def etag_key(self) -> bytes | None:
        """With KMS and customer keys the ETag is no MD5 of the bytes; of the same bytes under the same key it is the same."""
        return None if self.meta["sealed"]["by"] == "s3" else hmac.digest(self.key, b"etag", "sha256")

    def of_object(self, pieces: list[list[Any]]) -> dict[str, Any]:
        return {**self.meta, "sealed": {**self.meta["sealed"], "pieces": pieces}}


class Keyring:
    """The keys of a platform's objects. `key` and `unlock` with a call check the caller's permission to the KMS key."""

    def __init__(self, platform: Any) -> None:
        self._platform, self._own = platform, None

    # --- S3's own key ----------------------------------------------------------------------------

    def _root(self) -> bytes:
        if self._own is None:
            folder = self._platform.settings.secrets
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._own = write_once(folder / _KEY_FILE, os.urandom(32))
        return self._own

    def own(self) -> tuple[bytes, str]:
        """(new key of an object, the same wrapped)."""
        key, nonce = os.urandom(32), os.urandom(12)
        return key, _text(nonce + AESGCM(self._root()).encrypt(nonce, key, b"s3"))

    def _unwrap(self, wrapped: str) -> bytes:
        raw = base64.b64decode(wrapped)
        return AESGCM(self._root()).decrypt(raw[:12], raw[12:], b"s3")

    # --- KMS -------------------------------------------------------------------------------------

    def _kms(self) -> Any:
        part = self._platform.parts.get("kms")
        if part is None:
            raise ApiError("NotImplemented", "This platform has no KMS service: objects cannot be encrypted with aws:kms.", 501)
        return part

    def data_key(self, call: Any, account: str, region: str, ref: str, context: dict[str, str]) -> tuple[str, bytes, bytes]:
        with _as_s3_says():
            return self._kms().data_key(account, region, ref, context, call=call)

    def unlock(self, version: Version, call: Any = None, customer: bytes | None = None) -> bytes:
        """The key of an object's bytes. Raises what S3 answers where the caller may not have it."""
        return self.unlock_sealed(version.meta["sealed"], call, customer)

    def unlock_sealed(self, sealed: Mapping[str, Any], call: Any = None, customer: bytes | None = None) -> bytes:
        if sealed["by"] == "s3":
            return self._unwrap(sealed["key"])
        if sealed["by"] == "kms":
            with _as_s3_says():
                found = self._kms().decrypt(
                    sealed["account"], sealed["region"], base64.b64decode(sealed["key"]), sealed["context"], call=call
                )
            return found[1]
        if customer is None:
            raise s3_error(
                "InvalidRequest",
                "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.",
            )
        if not hmac.compare_digest(_check_of(customer, sealed["salt"]), sealed["check"]):
            raise s3_error(
                "AccessDenied",
                "Requests specifying Server Side Encryption with Customer provided keys must provide the correct secret key.",
            )
        return customer


class _as_s3_says:
    """KMS's errors with the code that S3 passes on: `KMS.NotFoundException`, `KMS.DisabledException`; AccessDenied stays."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, problem: Any, trace: Any) -> None:
        if isinstance(problem, ApiError):
            if problem.code.startswith("AccessDenied"):
                raise ApiError("AccessDenied", problem.message, 403) from None
            if problem.code != "NotImplemented":
                raise ApiError(f"KMS.{problem.code.removeprefix('KMS.')}", problem.message, 400) from None


# --- what a request asks for ---------------------------------------------------------------------


_CUSTOMER = {prefix: tuple(f"{prefix}SSECustomer{name}" for name in ("Algorithm", "Key", "KeyMD5")) for prefix in ("", "CopySource")}


def customer_key(request: Mapping[str, Any], prefix: str = "") -> bytes | None:
    """The key of SSE-C of a request (`prefix` CopySource: of a copy's source), checked; None: it names none."""
    names = _CUSTOMER[prefix]
    if names[0] not in request and names[1] not in request and names[2] not in request:
        return None
    algorithm, text, digest = map(request.get, names)
    if not algorithm and not text and not digest:
        return None
    lead = "Requests specifying Server Side Encryption with Customer provided keys must provide"
    if not algorithm:
        raise _bad_customer(f"{lead} a valid encryption algorithm.")
    if algorithm != "AES256":
        fields = {"ArgumentName": "x-amz-server-side-encryption", "ArgumentValue": algorithm}
        text = "The Encryption request you specified is not valid. Supported value: AES256."
        raise ApiError("InvalidEncryptionAlgorithmError", text, 400, fields=fields)
    if not text:
        raise _bad_customer(f"{lead} an appropriate secret key.")
    if not digest:
        raise _bad_customer(f"{lead} the client calculated MD5 of the secret key.")
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise _bad_customer("The secret key was invalid for the specified algorithm.")
    if _text(hashlib.md5(key, usedforsecurity=False).digest()) != digest:
        raise _bad_customer("The calculated MD5 hash of the key did not match the hash that was provided.")
    return key


def _bad_customer(text: str) -> ApiError:
    return s3_error("InvalidArgument", text, ArgumentName="x-amz-server-side-encryption")


def plan_for(call: Any, ring: Keyring, home: Bucket, key: str, request: Mapping[str, Any]) -> Plan | None:
    """How a new object is encrypted: as the request says, else as the bucket's default says; None: nobody asks for it."""
    customer = customer_key(request)
    rule, asked, ref = default_of(home), request.get("ServerSideEncryption"), request.get("SSEKMSKeyId")
    if customer is not None:
        if asked:
            raise invalid_argument(
                "Server Side Encryption with Customer provided key is incompatible with the encryption method specified",
                "x-amz-server-side-encryption",
                asked,
            )
        if "SSE-C" in blocked_types(home):
            raise s3_error("AccessDenied", "Access Denied: the bucket's default encryption blocks SSE-C.")
        return _customer_plan(customer, str(request["SSECustomerKeyMD5"]))
    if not asked and ref:
        raise invalid_argument(
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
            "x-amz-server-side-encryption",
            "null",
        )
    if not asked and rule:
        asked, ref = rule.get("SSEAlgorithm"), rule.get("KMSMasterKeyID")
    if not asked:
        return None
    if asked == "AES256":
        if ref:
            raise invalid_argument(
                "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
                "x-amz-server-side-encryption",
                asked,
            )
        made, wrapped = ring.own()
        return Plan({"encryption": {"ServerSideEncryption": "AES256"}, "sealed": {"by": "s3", "key": wrapped}}, made)
    if asked not in KMS:
        raise invalid_argument("The encryption method specified is not supported", "x-amz-server-side-encryption", asked)
    return _kms_plan(call, ring, home, key, request, asked, ref)


def _customer_plan(key: bytes, digest: str) -> Plan:
    salt = os.urandom(16).hex()
    told = {"SSECustomerAlgorithm": "AES256", "SSECustomerKeyMD5": digest}
    return Plan({"encryption": told, "sealed": {"by": "customer", "salt": salt, "check": _check_of(key, salt)}}, key)


def _kms_plan(call: Any, ring: Keyring, home: Bucket, key: str, request: Mapping[str, Any], asked: str, ref: str | None) -> Plan:
    bucket_key = bool(request["BucketKeyEnabled"] if "BucketKeyEnabled" in request else default_bucket_key(home))
    context = _context(request.get("SSEKMSEncryptionContext"))
    context["aws:s3:arn"] = f"arn:aws:s3:::{home.name}" if bucket_key else f"arn:aws:s3:::{home.name}/{key}"
    account, region = _place(call, home, ref)
    arn, made, blob = ring.data_key(call, account, region, ref or "alias/aws/s3", context)
    told: dict[str, Any] = {"ServerSideEncryption": asked, "SSEKMSKeyId": arn, **({"BucketKeyEnabled": True} if bucket_key else {})}
    sealed = {"by": "kms", "key": _text(blob), "account": account, "region": region, "context": context}
    return Plan({"encryption": told, "sealed": sealed}, made)


def _place(call: Any, home: Bucket, ref: str | None) -> tuple[str, str]:
    """Account and region in which a key is looked for: those of its ARN, else the caller's account in the bucket's region."""
    parts = (ref or "").split(":")
    if len(parts) >= 6 and parts[0] == "arn":
        if parts[3] != home.region:
            raise ApiError("KMS.NotFoundException", f"Invalid arn {parts[3]}", 400)
        return parts[4], parts[3]
    return (call.principal.account if call is not None and call.principal.account else home.account), home.region


def _context(text: str | None) -> dict[str, str]:
    if not text:
        return {}
    try:
        found = json.loads(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise invalid_argument("The header 'x-amz-server-side-encryption-context' shall be Base64-encoded UTF-8 string holding JSON "
                               "which represents a string-string map", "x-amz-server-side-encryption-context", text)  # fmt: skip
    return found


def default_of(home: Bucket) -> dict[str, Any]:
    """The bucket's default: {SSEAlgorithm, KMSMasterKeyID}, or {}."""
    return next((rule.get("ApplyServerSideEncryptionByDefault") or {} for rule in _rules(home)), {})


def default_bucket_key(home: Bucket) -> bool:
    return any(rule.get("BucketKeyEnabled") for rule in _rules(home))


def blocked_types(home: Bucket) -> set[str]:
    return {kind for rule in _rules(home) for kind in (rule.get("BlockedEncryptionTypes") or {}).get("EncryptionType") or ()}


def _rules(home: Bucket) -> list[dict[str, Any]]:
    return (home.settings.get("Encryption") or {}).get("Rules") or []


def resumed(ring: Keyring, meta: Mapping[str, Any], request: Mapping[str, Any], call: Any) -> Plan | None:
    """The plan of an upload that was begun with one, for a further part."""
    customer, sealed = customer_key(request), meta.get("sealed")
    if sealed is None or sealed["by"] != "customer":
        if customer is not None:
            raise s3_error(
                "InvalidRequest",
                "The multipart upload initiate requested no encryption with a customer key: these parameters do not belong to it.",
            )
        return None if sealed is None else Plan({"encryption": meta["encryption"], "sealed": sealed}, ring.unlock_sealed(sealed, call))
    if customer is None:
        raise s3_error(
            "InvalidRequest",
            "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.",
        )
    if not hmac.compare_digest(_check_of(customer, sealed["salt"]), sealed["check"]):
        raise s3_error("InvalidRequest", "The provided encryption parameters did not match the ones used originally.")
    return Plan({"encryption": meta["encryption"], "sealed": sealed}, customer)


def check_completing(upload_meta: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    """The customer's key of a CompleteMultipartUpload: the right one if there is one, and needed where a checksum was asked for."""
    customer, sealed = customer_key(request), upload_meta.get("sealed")
    if sealed is None or sealed["by"] != "customer":
        return
    if customer is None and upload_meta["asked"]:
        raise s3_error(
            "InvalidRequest",
            "The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.",
        )
    if customer is not None and not hmac.compare_digest(_check_of(customer, sealed["salt"]), sealed["check"]):
        raise s3_error("InvalidRequest", "The provided encryption parameters did not match the ones used originally.")


def check_reader(version: Version, customer: bytes | None) -> None:
    """A customer's key with an object that has none."""
    sealed = version.meta.get("sealed")
    if customer is not None and (sealed is None or sealed["by"] != "customer"):
        raise s3_error("InvalidRequest", "The encryption parameters are not applicable to this object.")


def _check_of(key: bytes, salt: str) -> str:
    """A salted hash of a customer's key: it tells the right key from another, and not what it is."""
    return hmac.digest(bytes.fromhex(salt), key, "sha256").hex()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
