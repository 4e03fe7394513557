"""How a sandboxed run reaches the network: the platform's port, and the filtered proxy with the run's own password.

The engine gives runs what this says; the gateways serve the proxy, on a socket that the supervisor holds as it does the
front door's, so that a run finds it again after a gateway was replaced.
"""

from __future__ import annotations

from typing import Any

from modelyard import datafolder
from modelyard.config import Settings
from modelyard.runtime.base import Mount

BUNDLE_IN_BOX = "/etc/modelyard/ca-bundle.pem"


class WayOut:
    """`platform.wayout` of the engine."""

    def __init__(self, settings: Settings) -> None:
        from modelyard.wire.egress import Tokens

        self._settings = settings
        self._tokens = Tokens.of_folder(settings.secrets)

    def of(self, run_id: str) -> dict[str, Any]:
        """`env`, `mounts`, `platform_port`, `egress`, `egress_port` of a run that may use the network, for its RunSpec."""
        from modelyard.wire.connect import client_environment

        port = self._settings.port
        env = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": f"http://127.0.0.1:{port}",
            "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        egress, bundle = known_port(self._settings), self._settings.data / "ca" / "bundle.pem"
        if egress is None or not bundle.exists():
            return {"env": env, "mounts": [], "platform_port": port, "egress": False, "egress_port": None}
        url = f"http://{run_id}:{self._tokens.of(run_id)}@127.0.0.1:{egress}"
        return {
            "env": env | client_environment(url, BUNDLE_IN_BOX, "algo-1"),
            "mounts": [Mount(str(bundle), BUNDLE_IN_BOX)],
            "platform_port": port,
            "egress": True,
            "egress_port": egress,
        }


def known_port(settings: Settings) -> int | None:
    return datafolder.load_state(settings.data).get("egress_port")


async def serve(platform: Any, gateway: Any, authority: Any, own_ports: set[int], listener: Any = None) -> Any:
    """The proxy for runs; answers the server, to be stopped."""
    import asyncio
    import os

    from modelyard.wire.connect import start_egress
    from modelyard.wire.egress import Tokens

    # pip is asked for its indexes after the front door is open; until then connections here wait in the kernel.
    allowed = await asyncio.get_running_loop().run_in_executor(gateway.pool, package_indexes)
    tokens = Tokens.of_folder(platform.settings.secrets)
    return await start_egress(
        gateway.handle, authority, tokens, os.environ, own_ports, listener=listener, allowed=allowed, pool=gateway.pool
    )


def package_indexes() -> frozenset[tuple[str, int]]:
    """(host, port) of where packages come from on this machine: runs may go there also when that is a private address."""
    from urllib.parse import urlsplit

    from pip._internal.models.index import PyPI  # what pip takes where nothing is configured

    from modelyard.runtime.index_config import settings

    configured = settings()
    urls = [configured.get("index-url", PyPI.simple_url), *configured.get("extra-index-url", "").split()]
    parts = [part for part in map(urlsplit, urls) if part.hostname and part.scheme in ("http", "https")]
    hosts = [(part.hostname, part.port or (443 if part.scheme == "https" else 80)) for part in parts]
    return frozenset([*hosts, *([(PyPI.file_storage_domain, 443)] if (PyPI.netloc, 443) in hosts else [])])
