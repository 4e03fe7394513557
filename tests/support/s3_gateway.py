"""A process with one gateway that serves S3 alone: `python -m tests.support.s3_gateway FOLDER` prints its port. It has the bucket
`bkt`, which anyone may do anything in, so that clients need not sign."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import uvloop

from modelyard.config import Settings
from modelyard.kernel.clock import SystemClock
from modelyard.kernel.database import open_database
from modelyard.kernel.dispatch import Dispatch
from modelyard.kernel.platform import Platform
from modelyard.kernel.store import Store
from modelyard.services import iam, s3
from modelyard.services.iam.bootstrap import ensure_account
from modelyard.services.iam.identity import IamIdentity
from modelyard.wire.gateway import Gateway
from modelyard.wire.server import Server

ANYONE = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": ["arn:aws:s3:::bkt", "arn:aws:s3:::bkt/*"]}],
}


def serve(data: Path) -> None:
    clock = SystemClock()
    platform = Platform(Settings(data=data), clock, Store(open_database("", data / "store.db"), clock))
    platform.identity, platform.dispatch = IamIdentity(platform), Dispatch(platform)
    platform.services = {"iam": iam.api, "s3": s3.api}
    depot = s3.install(platform)
    ensure_account(platform, platform.settings.account)
    row = ("bkt", platform.settings.account, "us-east-1", 0.0, "", json.dumps(ANYONE), "{}")
    depot.index.db.grouped(lambda tx: tx.execute("INSERT INTO s3_buckets VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING", row))

    async def run() -> None:
        gateway = Gateway(platform)
        print(await Server(gateway.handle, pool=gateway.pool).start("127.0.0.1", 0), flush=True)
        await asyncio.Event().wait()

    uvloop.run(run())


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
