"""What other services do with keys: `platform.parts["kms"]`, in every process that reads or writes their data.

`key_ref` is a key's id, ARN, alias name or alias ARN; `alias/aws/<service>` is the AWS-managed key of the account, made when it is
first used. With `call` given, the caller of that call needs kms:GenerateDataKey, kms:Encrypt or kms:Decrypt, through the
service it talks to (`kms:ViaService`). Errors are KMS's own.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelyard.kernel.ids import new_uuid
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.kms.root import Root

DATA_KEY_BYTES = 32


class Keys:
    def __init__(self, platform: Any) -> None:
        self._platform = platform
        self.root = Root(platform.settings.secrets, platform.store)

    def data_key(self, account: str, region: str, key_ref: str, context: Mapping[str, str], call: Any = None) -> tuple[str, bytes, bytes]:
        """(ARN of the key, a new data key of 32 bytes, the data key encrypted)."""
        key = self._key(account, region, key_ref, "GenerateDataKey", context, call)
        plaintext = secrets.token_bytes(DATA_KEY_BYTES)
        return key.arn, plaintext, self._seal(key, plaintext, context)

    def encrypt(self, account: str, region: str, key_ref: str, plaintext: bytes, context: Mapping[str, str], call: Any = None) -> bytes:
        """The ciphertext, which names its key."""
        return self._seal(self._key(account, region, key_ref, "Encrypt", context, call), plaintext, context)

    def decrypt(self, account: str, region: str, blob: bytes, context: Mapping[str, str], call: Any = None) -> tuple[str, bytes]:
        """(ARN of the key, plaintext). The ciphertext says which key; `account` and `region` are those of who asks."""
        from modelyard.services.kms.ciphers import decrypt_with, key_of_blob

        key = key_of_blob(self._platform.store, region, blob)
        self._check(key, "Decrypt", context, call)
        plaintext = decrypt_with(self.root, key, blob, context, self._platform.clock.now())
        self._tell(call, "Decrypt", key, context)
        return key.arn, plaintext

    def arn(self, account: str, region: str, key_ref: str) -> str:
        """The ARN of the key that is meant. Raises NotFoundException."""
        return self._find(account, region, key_ref).arn

    # --- helpers -----------------------------------------------------------------------------------

    def _seal(self, key: Record, plaintext: bytes, context: Mapping[str, str]) -> bytes:
        from modelyard.services.kms.ciphers import encrypt_with

        return encrypt_with(self.root, key, plaintext, context, self._platform.clock.now())

    def _key(self, account: str, region: str, ref: str, action: str, context: Mapping[str, str], call: Any) -> Record:
        key = self._find(account, region, ref)
        self._check(key, action, context, call)
        self._tell(call, action, key, context)
        return key

    def _find(self, account: str, region: str, ref: str) -> Record:
        from modelyard.services.kms.access import find_key
        from modelyard.services.kms.managed import ensure_managed, managed_alias

        if (alias := managed_alias(ref, account, region)) is not None:
            return ensure_managed(self._platform, self.root, account, region, alias)
        return find_key(self._platform.store, account, region, ref)

    def _check(self, key: Record, action: str, context: Mapping[str, str], call: Any) -> None:
        from modelyard.services.kms import api
        from modelyard.services.kms.access import authorize, of_context, through
        from modelyard.services.kms.keyring import check_state

        if call is not None:
            authorize(call, key, action, {**of_context(context), **through(call, key.region)})
        check_state(key, self._platform.clock.now())
        if key.spec["KeySpec"] != "SYMMETRIC_DEFAULT":
            raise api.error.InvalidKeyUsageException(f"{key.arn} key spec is {key.spec['KeySpec']} which is not valid for {action}.")

    def _tell(self, call: Any, action: str, key: Record, context: Mapping[str, str]) -> None:
        """The audit trail hears of what the service does with the key in the caller's name, as of a call of KMS."""
        trail = self._platform.parts.get("trail")
        if not isinstance(call, Call) or trail is None:
            return
        inner = replace(
            call, service="kms", operation=action, held=None, auth=None, further=[(f"kms:{action}", key.arn, {})], weighed=None, ruled=None,
            invoked_by=call.service, request_id=new_uuid(),
        )  # fmt: skip
        asked = {"KeyId": key.arn, "EncryptionContext": dict(context), **({"KeySpec": "AES_256"} if action == "GenerateDataKey" else {})}
        trail.note(inner, asked, None, None)


def install(platform: Any) -> Keys:
    from modelyard.services.kms.policy import policies_of

    platform.parts.setdefault("resource_policies", {})["kms"] = policies_of(platform)
    return Keys(platform)
