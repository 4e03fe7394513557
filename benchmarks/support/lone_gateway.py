"""A gateway alone, in a process of its own: what benches of one service ask."""

from __future__ import annotations

from pathlib import Path


def serve(data: str) -> None:
    """The child: one gateway, as `modelyard up` runs it. Prints port, key and secret."""
    import asyncio

    import uvloop

    from modelyard import app
    from modelyard.config import Settings
    from modelyard.services.iam.bootstrap import ensure_account
    from modelyard.wire.gateway import Gateway
    from modelyard.wire.server import Server

    platform = app.build_platform(Settings(data=Path(data), cache=Path(data) / "cache"), "gateway")
    root = ensure_account(platform, platform.settings.account)["root"]

    async def run() -> None:
        gateway = Gateway(platform)
        port = await Server(gateway.handle, pool=gateway.pool).start("127.0.0.1", 0)
        print(port, root["AccessKeyId"], root["SecretAccessKey"], flush=True)
        await asyncio.Event().wait()

    uvloop.run(run())
