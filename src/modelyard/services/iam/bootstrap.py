"""The first account (and further ones): root keys, a default role, and the user's own session of it.

What a person needs is one private file, `data/secrets/<account>.json`:

    {"account": "123456789012", "region": …, "created_at": …,
     "root":    {"AccessKeyId", "SecretAccessKey"},
     "session": {"AccessKeyId", "SecretAccessKey", "SessionToken"},
     "role":    {"RoleName", "RoleArn", "RoleId", "SessionName", "AssumedRoleArn"}}

The file is written first and is the truth of these secrets: whatever the store lacks of them is put back from it, so a
crash anywhere in between, or a second call, ends in the same account.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import orjson

from modelyard.kernel.identity import Credential, Principal
from modelyard.kernel.platform import Platform
from modelyard.kernel.store import Moved, Taken
from modelyard.services.iam import keys, names
from modelyard.services.iam.credentials import Credentials
from modelyard.services.iam.vault import Vault, write_once

DEFAULT_ROLE = "ModelyardExecutionRole"
DEFAULT_SESSION = "modelyard"


def ensure_account(platform: Platform, account_id: str) -> dict[str, Any]:
    """Makes the account unless it is there, and answers its secrets file. Idempotent. ValueError: not 12 digits."""
    if not re.fullmatch(r"\d{12}", account_id):
        raise ValueError(f"an account ID has 12 digits: {account_id!r}")
    vault = Vault(platform.settings.secrets)
    path = vault.folder / f"{account_id}.json"
    known = path.exists()
    secrets = orjson.loads(write_once(path, b"" if known else orjson.dumps(_new_secrets(platform, account_id), option=orjson.OPT_INDENT_2)))
    credentials = Credentials(platform.store.db, vault, platform.clock)
    listed = _has_listed_keys(platform, account_id)
    for credential in _credentials(secrets):
        if credentials.get(credential.access_key) is None and not (listed and credential.principal.kind == "root"):
            credentials.put(credential)
    _ensure_role(platform, secrets)
    if not listed:
        _ensure_root_key(platform, secrets)
    _ensure_record(platform, account_id)
    return secrets


def secrets_of(platform: Platform, account_id: str) -> dict[str, Any] | None:
    """The secrets file of an account; None: there is no such account."""
    path = platform.settings.secrets / f"{account_id}.json"
    return orjson.loads(path.read_bytes()) if path.exists() else None


def accounts(platform: Platform) -> list[str]:
    """The account IDs of this platform, in the order in which they were made."""
    return [record.name for record in platform.store.list(names.ACCOUNT.kind, order_by="created_at")]


def default_principal(secrets: dict[str, Any]) -> Principal:
    """The default role's session, as a caller."""
    role = secrets["role"]
    user_id = f"{role['RoleId']}:{role['SessionName']}"
    return Principal("role", secrets["account"], role["AssumedRoleArn"], user_id, secrets["session"]["AccessKeyId"], role["RoleArn"])


def _new_secrets(platform: Platform, account: str) -> dict[str, Any]:
    return {
        "account": account,
        "region": platform.settings.region,
        "created_at": platform.clock.now(),
        "root": {"AccessKeyId": keys.access_key(keys.LONG_TERM, account), "SecretAccessKey": keys.secret_key()},
        "session": {
            "AccessKeyId": keys.access_key(keys.TEMPORARY, account),
            "SecretAccessKey": keys.secret_key(),
            "SessionToken": keys.session_token(),
        },
        "role": {
            "RoleName": DEFAULT_ROLE,
            "RoleArn": names.arn(account, "role", "/", DEFAULT_ROLE),
            "RoleId": keys.unique_id(keys.ROLE),
            "SessionName": DEFAULT_SESSION,
            "AssumedRoleArn": names.session_arn(account, DEFAULT_ROLE, DEFAULT_SESSION),
        },
    }


def _credentials(secrets: dict[str, Any]) -> list[Credential]:
    account, root, session = secrets["account"], secrets["root"], secrets["session"]
    owner = Principal("root", account, names.root_arn(account), account, root["AccessKeyId"])
    return [
        Credential(root["AccessKeyId"], root["SecretAccessKey"], owner),
        Credential(session["AccessKeyId"], session["SecretAccessKey"], default_principal(secrets), session["SessionToken"]),
    ]


def _ensure_record(platform: Platform, account: str) -> None:
    store, told = platform.store, {"RootKeysListed": True}
    with suppress(Taken):
        store.create(names.ACCOUNT, account=account, region=names.GLOBAL, name=account, arn=names.root_arn(account), spec=told)
        return
    while (record := store.get(names.ACCOUNT.kind, account, names.GLOBAL, account)) is not None and not record.spec.get("RootKeysListed"):
        with suppress(Moved):
            store.request(record, told, due=False)


def _has_listed_keys(platform: Platform, account: str) -> bool:
    """Whether root's key has had its record: from then on a missing one is one that the user deleted."""
    record = platform.store.get(names.ACCOUNT.kind, account, names.GLOBAL, account)
    return record is not None and bool(record.spec.get("RootKeysListed"))


def _ensure_root_key(platform: Platform, secrets: dict[str, Any]) -> None:
    account, key = secrets["account"], secrets["root"]["AccessKeyId"]
    arn, spec = f"{names.root_arn(account)}/{key}", {"Status": "Active", "UserName": None}
    with suppress(Taken):
        platform.store.create(names.ACCESS_KEY, account=account, region=names.GLOBAL, name=key, arn=arn, spec=spec, owner=account)


def _ensure_role(platform: Platform, secrets: dict[str, Any]) -> None:
    account, role = secrets["account"], secrets["role"]
    if platform.store.get(names.ACCOUNT.kind, account, names.GLOBAL, account):
        return  # the role was made with the account; a user who deleted it since meant it
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
            {"Effect": "Allow", "Principal": {"AWS": names.root_arn(account)}, "Action": "sts:AssumeRole"},
        ],
    }
    spec = {
        "Path": "/",
        "RoleName": role["RoleName"],
        "RoleId": role["RoleId"],
        "AssumeRolePolicyDocument": orjson.dumps(trust).decode(),
        "Description": "Default execution role of this account",
        "MaxSessionDuration": 43200,
        "Attached": [names.ADMINISTRATOR_ACCESS],
        "Inline": {},
    }
    with suppress(Taken):
        platform.store.create(names.ROLE, account=account, region=names.GLOBAL, name=role["RoleName"], arn=role["RoleArn"], spec=spec)
