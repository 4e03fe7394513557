"""When keys and roles were used last: told by the call after, written once a minute, not at every call."""

from __future__ import annotations

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.services.iam import last_used
from tests.services.iam.conftest import ACCOUNT, Yard, allow


def test_keys_and_roles(yard: Yard) -> None:
    key = yard.user("ann", allow("s3:*"))
    assert yard("iam", "GetAccessKeyLastUsed", AccessKeyId=key)["AccessKeyLastUsed"] == {"ServiceName": "N/A", "Region": "N/A"}
    yard.authorize(key, "s3", "ListBuckets")
    used = yard("iam", "GetAccessKeyLastUsed", AccessKeyId=key)
    assert used["UserName"] == "ann"
    assert used["AccessKeyLastUsed"] == {"LastUsedDate": yard.clock.now(), "ServiceName": "s3", "Region": "us-east-1"}
    arn = yard.role("R", allow("s3:*"))
    assert yard("iam", "GetRole", RoleName="R")["Role"]["RoleLastUsed"] == {}
    yard.authorize(yard.assume(arn), "s3", "ListBuckets")
    assert yard("iam", "GetRole", RoleName="R")["Role"]["RoleLastUsed"]["LastUsedDate"] == yard.clock.now()
    with pytest.raises(ApiError) as caught:
        yard("iam", "GetAccessKeyLastUsed", AccessKeyId="AKIAIOSFODNN7EXAMPLE")
    assert caught.value.code == "AccessDenied"


def test_one_write_a_minute(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(last_used, "real_now", lambda: now[0])
    key = yard.user("ann", allow("s3:*"))
    writes: list[int] = []
    grouped = yard.store.db.grouped
    monkeypatch.setattr(yard.store.db, "grouped", lambda work: writes.append(1) or grouped(work))
    for _ in range(50):
        yard.authorize(key, "s3", "ListBuckets")
    assert len(writes) == 1
    now[0] += last_used.LAG_S
    yard.clock.advance(90)
    yard.authorize(key, "s3", "ListBuckets")
    assert len(writes) == 2
    assert yard("iam", "GetAccessKeyLastUsed", AccessKeyId=key)["AccessKeyLastUsed"]["LastUsedDate"] == yard.clock.now()


def test_a_key_made_again_under_the_same_name_was_never_used(yard: Yard) -> None:
    arn = yard.role("R", allow("s3:*"))
    yard.authorize(yard.assume(arn), "s3", "ListBuckets")
    yard("iam", "DeleteRolePolicy", RoleName="R", PolicyName="inline")
    yard("iam", "DeleteRole", RoleName="R")
    yard.role("R")
    assert yard("iam", "GetRole", RoleName="R")["Role"]["RoleLastUsed"] == {} and arn.startswith(f"arn:aws:iam::{ACCOUNT}")
