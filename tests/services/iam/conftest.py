"""A platform with one account and the IAM and STS operations, called in process: authorised like calls by wire."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelyard.config import Settings
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import open_database
from modelyard.kernel.dispatch import Dispatch
from modelyard.kernel.identity import Principal
from modelyard.kernel.platform import Platform
from modelyard.kernel.service import Call
from modelyard.kernel.store import Store
from modelyard.services import iam, sts
from modelyard.services.iam.bootstrap import ensure_account
from modelyard.services.iam.identity import IamIdentity

ACCOUNT = "123456789012"


class Yard:
    """`yard("iam", "GetRole", RoleName=…)` in the name of the default session, or of `as_` (an access key or a principal)."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self.settings = Settings(data=data, **settings)
        self.clock = ManualClock()
        self.store = Store(open_database(self.settings.store, data / "store.db"), self.clock)
        self.platform = self.open()
        self.secrets = ensure_account(self.platform, ACCOUNT)
        self.identity = self.platform.identity

    def open(self) -> Platform:
        """A platform over the same data, as another process has it."""
        platform = Platform(self.settings, self.clock, self.store)
        platform.identity = IamIdentity(platform)
        platform.dispatch = Dispatch(platform)
        platform.services = {"iam": iam.api, "sts": sts.api}
        return platform

    @property
    def root(self) -> str:
        return self.secrets["root"]["AccessKeyId"]

    def call(self, as_: str | Principal | None = None, **more: Any) -> Call:
        if not isinstance(as_, Principal):
            credential = self.identity.credential(as_ or self.secrets["session"]["AccessKeyId"])
            assert credential is not None
            as_ = credential.principal
        fields = {"service": "sts", "operation": "GetCallerIdentity", "account": as_.account, "region": "us-east-1", "request_id": "r"}
        return Call(platform=self.platform, principal=as_, **{**fields, **more})

    def __call__(self, service: str, operation: str, as_: str | Principal | None = None, **request: Any) -> dict[str, Any]:
        return self.call(as_).invoke(service, operation, request)

    def authorize(
        self, as_: str | Principal | None, service: str, operation: str, call: dict[str, Any] | None = None, **request: Any
    ) -> None:
        prepared = replace(self.call(as_, **(call or {})), service=service, operation=operation)
        self.identity.authorize(prepared, request)

    def role(self, name: str, *statements: dict[str, Any], trust: Any = None, **more: Any) -> str:
        """A role with one inline policy; answers its ARN."""
        trusted = trust or {"AWS": f"arn:aws:iam::{ACCOUNT}:root", "Service": "sagemaker.amazonaws.com"}
        document = policy({"Effect": "Allow", "Principal": trusted, "Action": ["sts:AssumeRole", "sts:TagSession"]})
        arn = self("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=document, **more)["Role"]["Arn"]
        if statements:
            self("iam", "PutRolePolicy", RoleName=name, PolicyName="inline", PolicyDocument=policy(*statements))
        return arn

    def assume(self, arn: str, as_: str | None = None, **more: Any) -> str:
        """Assumes a role; answers the session's access key."""
        answer = self("sts", "AssumeRole", as_, RoleArn=arn, RoleSessionName="s", **more)
        return answer["Credentials"]["AccessKeyId"]

    def user(self, name: str, *statements: dict[str, Any], **more: Any) -> str:
        """A user with one inline policy; answers its access key."""
        self("iam", "CreateUser", UserName=name, **more)
        if statements:
            self("iam", "PutUserPolicy", UserName=name, PolicyName="inline", PolicyDocument=policy(*statements))
        return self("iam", "CreateAccessKey", UserName=name)["AccessKey"]["AccessKeyId"]


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any, resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {**allow(action, resource, **more), "Effect": "Deny"}


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)
