"""A gateway process alone with the services of the platform, as `modelyard up` runs it: `python -m tests.support.logs_gateway FOLDER`.
Prints its port and the first account's key and secret."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import uvloop

from modelyard import app
from modelyard.config import Settings
from modelyard.services.iam.bootstrap import ensure_account
from modelyard.wire.gateway import Gateway
from modelyard.wire.server import Server


async def serve(folder: Path) -> None:
    platform = app.build_platform(Settings(data=folder, cache=folder / "cache"), "gateway")
    root = ensure_account(platform, platform.settings.account)["root"]
    gateway = Gateway(platform)
    port = await Server(gateway.handle, pool=gateway.pool).start("127.0.0.1", 0)
    print(port, root["AccessKeyId"], root["SecretAccessKey"], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
