"""The record of a secret, how a request names one, and its values in and out of encryption.

spec: {Description, KmsKeyId, Versions, Policy, Deletion, Rotation, Changed, Rotated, Accessed, Tagged (it had tags), Read (version → day); Replicas (of a primary) or Primary and
PrimaryRegion (of a replica), see replicas.py}. Versions: id → {Value, At, Stages, Key}, where
Value names a row of `platform.secrets` (None: the empty version that a rotation begins with) and Key the key that encrypted it.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.secretsmanager import api

SECRET = Lifecycle("secret", "Active")
CURRENT, PREVIOUS, PENDING = "AWSCURRENT", "AWSPREVIOUS", "AWSPENDING"
DEFAULT_KEY = "alias/aws/secretsmanager"
NONCE_BYTES = 12
_NAME = re.compile(r"[A-Za-z0-9/_+=.@\-!]+\Z")


def find(call: Any, given: str) -> Record | None:
    """The secret of a name, an ARN, or an ARN without its six random characters. Raises ValidationException for what is no name."""
    if not given.startswith("arn:"):
        check_name(given)
        return call.store.get(SECRET.kind, call.account, call.region, given)
    found = call.store.by_arn(given)
    if found is not None:
        return found if found.kind == SECRET.kind and found.region == call.region else None
    pieces = given.split(":", 6)
    if len(pieces) < 7 or pieces[2] != "secretsmanager" or pieces[3] != call.region or pieces[5] != "secret":
        return None
    return call.store.get(SECRET.kind, pieces[4], call.region, pieces[6])


def the_secret(call: Any, given: str, *, deleted: bool = False) -> Record:
    """Raises ResourceNotFoundException, or (unless `deleted`) InvalidRequestException for one that waits for its deletion."""
    record = find(call, given)
    if record is None:
        raise no_secret()
    if not deleted:
        check_alive(record)
    return record


def check_name(name: str) -> None:
    if not _NAME.match(name):
        raise validation("Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")


def request_token(request: Mapping[str, Any], wrong: Callable[[str], ApiError] | None = None) -> str:
    """The id of the version to be: SDKs make one for each call; a bare HTTP request must."""
    if not request.get("ClientRequestToken"):
        raise (wrong or api.error.InvalidRequestException)("You must provide a ClientRequestToken value. We recommend a UUID-type value.")
    return request["ClientRequestToken"]


def check_alive(record: Record) -> None:
    if record.spec.get("Deletion"):
        raise api.error.InvalidRequestException("You can't perform this operation on the secret because it was marked for deletion.")


def check_primary(record: Record) -> None:
    if record.spec.get("Primary"):
        raise api.error.InvalidParameterException(
            "Operation not permitted on a replica secret. Call must be made in primary secret's region."
        )


def check_reachable(call: Any, record: Record, key_ref: str | None) -> None:
    """Values under AWS's own key do not leave the account."""
    if call.account != record.account and key_ref in (None, DEFAULT_KEY):
        raise api.error.InvalidRequestException(
            "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key."
        )


def no_secret() -> ApiError:
    return api.error.ResourceNotFoundException("Secrets Manager can't find the specified secret.")


def change(call: Any, record: Record, changes: Callable[[Record], Mapping[str, Any]], *, due: bool = False) -> Record:
    """Merges `changes(the secret as it is now)` into its spec; what they raise is raised. The replicas of a primary follow (replicas.py)."""
    while True:
        try:
            return call.store.request(record, changes(record), due=due or bool(record.spec.get("Replicas")))
        except Moved:
            found = call.store.by_uid(record.uid)
            if found is None:
                raise no_secret() from None
            record = found


# --- versions ------------------------------------------------------------------------------------


def holder(versions: Mapping[str, Mapping[str, Any]], stage: str) -> str | None:
    """The version that has this stage."""
    return next((name for name, version in versions.items() if stage in version["Stages"]), None)


def staged(versions: Mapping[str, Mapping[str, Any]], name: str, stages: list[str]) -> dict[str, Any]:
    """The versions after `stages` have moved to `name`. What loses AWSCURRENT becomes AWSPREVIOUS, and is pending no more."""
    moved = {one: {**version, "Stages": [s for s in version["Stages"] if s not in stages]} for one, version in versions.items()}
    before = holder(versions, CURRENT)
    if CURRENT in stages and before not in (None, name):
        for version in moved.values():
            version["Stages"] = [stage for stage in version["Stages"] if stage != PREVIOUS]
        moved[before]["Stages"] = [*(stage for stage in moved[before]["Stages"] if stage != PENDING), PREVIOUS]
    moved[name]["Stages"] = [*moved[name]["Stages"], *stages]
    return moved


# --- values --------------------------------------------------------------------------------------


def sealed(kms: Any, arn: str, version: str, value: str | bytes, key_ref: str | None, call: Any = None) -> tuple[str, str]:
    """(the value encrypted, ARN of the key), with the rights of who calls, or the platform's own. Raises EncryptionFailure where KMS cannot,
    AccessDenied where the caller may not."""
    try:
        region, account = arn.split(":")[3:5]
        key, plain, blob = kms.data_key(account, region, key_ref or DEFAULT_KEY, _context(arn, version), call)
    except ApiError as problem:
        raise _of_kms(problem, api.error.EncryptionFailure) from None
    kind, content = ("s", value.encode()) if isinstance(value, str) else ("b", value)
    nonce = secrets.token_bytes(NONCE_BYTES)
    body = nonce + AESGCM(plain).encrypt(nonce, kind.encode() + content, None)
    return orjson.dumps({"key": base64.b64encode(blob).decode(), "body": base64.b64encode(body).decode()}).decode(), key


def check_key(kms: Any, arn: str, key_ref: str | None) -> None:
    """Raises EncryptionFailure where there is no such key."""
    region, account = arn.split(":")[3:5]
    try:
        kms.arn(account, region, key_ref or DEFAULT_KEY)
    except ApiError as problem:
        raise _of_kms(problem, api.error.EncryptionFailure) from None


def opened(kms: Any, arn: str, version: str, content: str, call: Any = None) -> dict[str, Any]:
    """{"SecretString"} or {"SecretBinary"}. Raises DecryptionFailure, or AccessDenied."""
    row = orjson.loads(content)
    try:
        region, account = arn.split(":")[3:5]
        plain = kms.decrypt(account, region, base64.b64decode(row["key"]), _context(arn, version), call)[1]
    except ApiError as problem:
        raise _of_kms(problem, api.error.DecryptionFailure) from None
    body = base64.b64decode(row["body"])
    clear = AESGCM(plain).decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], None)
    return {"SecretBinary": clear[1:]} if clear[:1] == b"b" else {"SecretString": clear[1:].decode()}


def _context(arn: str, version: str) -> dict[str, str]:
    return {"SecretARN": arn, "SecretVersionId": version}


def _of_kms(problem: ApiError, failure: Callable[[str], ApiError]) -> ApiError:
    if problem.code == "AccessDeniedException":
        return ApiError("AccessDeniedException", f"Access to KMS is not allowed. {problem.message}", 400)
    return failure(f"Secrets Manager can't use the secret's KMS key: {problem.message or problem.code}")
