"""The parts of identity that speak SQL of their own, on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.kernel.errors import ApiError
from tests.services.iam.conftest import ACCOUNT, Yard, allow, policy
from tests.support.needs import needs
from tests.support.postgres import cluster

pytestmark = needs("postgresql")


def test_changes_and_credentials(tmp_path: Path) -> None:
    with cluster() as url:
        yard = Yard(tmp_path, store=url)
        before = yard.identity.directory.version()
        session = yard.assume(yard.role("R"))
        assert yard.identity.directory.version() > before
        assert yard("sts", "GetCallerIdentity", session)["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/R/s"
        with pytest.raises(ApiError, match="s3:ListAllMyBuckets"):
            yard.authorize(session, "s3", "ListBuckets")
        yard("iam", "PutRolePolicy", RoleName="R", PolicyName="p", PolicyDocument=policy(allow("s3:*")))
        yard.authorize(session, "s3", "ListBuckets")
        yard.open()
        key = yard.user("ann")
        yard("iam", "DeleteAccessKey", UserName="ann", AccessKeyId=key)
        assert yard.identity.credential(key) is None
        yard.store.db.close()
