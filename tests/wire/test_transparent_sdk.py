"""The trap of the SageMaker SDK: its STS calls go to a hard-coded AWS host. They land here."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from modelyard.wire.ca import Authority
from modelyard.wire.connect import client_environment
from tests.support.doors import KEY, SECRET
from tests.wire.test_connect import door

PROGRAM = "import sagemaker; s = sagemaker.Session(); print(s.account_id(), s.get_caller_identity_arn())"
SDK = os.environ.get("MODELYARD_TEST_SDK2", sys.executable)
"""A Python that has the SageMaker SDK v2."""


def _has_sdk() -> bool:
    return subprocess.run([SDK, "-c", "import sagemaker"], capture_output=True).returncode == 0


@pytest.mark.slow
async def test_session_account_id(tmp_path):
    if not await asyncio.to_thread(_has_sdk):
        pytest.skip("no Python with the SageMaker SDK (MODELYARD_TEST_SDK2)")
    authority = Authority(tmp_path / "ca")
    bundle = authority.write_bundle()
    async with door(authority, tmp_path) as server:
        environment = {
            **os.environ,
            **client_environment(server.url, str(bundle)),
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "HOME": str(tmp_path),
        }
        done = await asyncio.to_thread(subprocess.run, [SDK, "-c", PROGRAM], env=environment, capture_output=True, timeout=120, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split()[-2] == "123456789012"
