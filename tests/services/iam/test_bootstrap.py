from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from modelyard.services.iam import keys
from modelyard.services.iam.bootstrap import accounts, ensure_account, secrets_of
from tests.services.iam.conftest import ACCOUNT, Yard


def test_secrets_are_private_and_nowhere_else(yard: Yard, tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {path.name for path in folder.iterdir()} == {"platform.key", f"{ACCOUNT}.json"}
    key = yard.user("ann")
    issued = yard.identity.credential(key)
    for name in ("store.db", "store.db-wal"):
        content = (tmp_path / name).read_bytes()
        for secret in (yard.secrets["root"]["SecretAccessKey"], yard.secrets["session"]["SecretAccessKey"], issued.secret_key):
            assert secret.encode() not in content


def test_again_changes_nothing(yard: Yard) -> None:
    assert ensure_account(yard.platform, ACCOUNT) == yard.secrets == secrets_of(yard.platform, ACCOUNT)
    yard("iam", "UpdateRole", RoleName="ModelyardExecutionRole", Description="mine")
    ensure_account(yard.platform, ACCOUNT)
    assert yard("iam", "GetRole", RoleName="ModelyardExecutionRole")["Role"]["Description"] == "mine"


def test_a_crash_after_the_file_is_repaired(yard: Yard) -> None:
    """The store lacks everything (here: emptied by hand); the next start puts back what the file says."""
    with yard.store.db.write() as tx:
        tx.execute("DELETE FROM iam_credentials")
        tx.execute("DELETE FROM records")
    assert ensure_account(yard.platform, ACCOUNT) == yard.secrets
    assert yard.open().identity.credential(yard.root).secret_key == yard.secrets["root"]["SecretAccessKey"]
    assert yard("iam", "GetRole", RoleName="ModelyardExecutionRole")["Role"]["RoleId"] == yard.secrets["role"]["RoleId"]


def test_the_default_session(yard: Yard) -> None:
    """What contract.md 1.1 asks: an assumed-role ARN whose role is there and trusts SageMaker."""
    who = yard("sts", "GetCallerIdentity")
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ModelyardExecutionRole/modelyard"
    assert who["Account"] == ACCOUNT and who["UserId"].startswith("AROA") and who["UserId"].endswith(":modelyard")
    role = yard("iam", "GetRole", RoleName=who["Arn"].split("/")[1])["Role"]
    assert "sagemaker.amazonaws.com" in role["AssumeRolePolicyDocument"] and role["RoleId"] == who["UserId"].split(":")[0]
    credential = yard.identity.credential(yard.secrets["session"]["AccessKeyId"])
    assert credential.token == yard.secrets["session"]["SessionToken"] and credential.expires_at is None


def test_root(yard: Yard) -> None:
    assert yard("sts", "GetCallerIdentity", yard.root) == {"UserId": ACCOUNT, "Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:root"}


def test_further_accounts_are_apart(yard: Yard) -> None:
    other = ensure_account(yard.platform, "210987654321")
    assert accounts(yard.platform) == [ACCOUNT, "210987654321"]
    yard.role("OnlyHere")
    names = [r["RoleName"] for r in yard("iam", "ListRoles", other["root"]["AccessKeyId"])["Roles"]]
    assert names == ["ModelyardExecutionRole"]


@pytest.mark.parametrize("bad", ["1", "12345678901a", "1234567890123", ""])
def test_bad_account_ids(yard: Yard, bad: str) -> None:
    with pytest.raises(ValueError, match="12 digits"):
        ensure_account(yard.platform, bad)


def test_access_keys_tell_their_account(yard: Yard) -> None:
    key = keys.access_key(keys.LONG_TERM, "000000000007")
    assert len(key) == 20 and key.startswith("AKIA") and keys.account_of(key) == "000000000007"
    assert yard("sts", "GetAccessKeyInfo", AccessKeyId=yard.root) == {"Account": ACCOUNT}


def test_the_store_alone_opens_nothing(yard: Yard, tmp_path: Path) -> None:
    from cryptography.exceptions import InvalidTag

    (tmp_path / "secrets/platform.key").write_bytes(b"k" * 32)
    with pytest.raises(InvalidTag):
        yard.open().identity.credential(yard.root)


def test_open_mode_takes_any_key(tmp_path: Path) -> None:
    yard = Yard(tmp_path, auth="open")
    assert yard("sts", "GetCallerIdentity", "test")["Arn"].endswith(":assumed-role/ModelyardExecutionRole/modelyard")
    assert yard("sts", "GetCallerIdentity", "000000000042")["Account"] == "000000000042"
    denied = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]})
    yard("iam", "PutRolePolicy", RoleName="ModelyardExecutionRole", PolicyName="p", PolicyDocument=denied)
    assert yard("iam", "ListRoles")["Roles"]
