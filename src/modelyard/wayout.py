"""How a sandboxed run reaches the network: the platform's port, and the filtered proxy with the run's own password.

The engine gives runs what this says; gateway 0 serves the proxy, on a port that is kept in the data folder so that a run
finds it again after the gateway was replaced.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
        env = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DISABLE_HOST_PREFIX_INJECTION": "true", "AWS_EC2_METADATA_DISABLED": "true"}
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


def port_file(settings: Settings) -> Path:
    return settings.data / "run" / "egress.port"


def known_port(settings: Settings) -> int | None:
    try:
        return int(port_file(settings).read_text())
    except (FileNotFoundError, ValueError):
        return None


async def serve(platform: Any, gateway: Any, authority: Any, own_ports: set[int]) -> Any:
    """The proxy for runs, on the port it had before if that is free; answers the server, to be stopped."""
    import os

    from modelyard import datafolder
    from modelyard.wire.connect import start_egress
    from modelyard.wire.egress import Tokens

    settings, tokens = platform.settings, Tokens.of_folder(platform.settings.secrets)
    for port in (known_port(settings) or 0, 0):
        try:
            server = await start_egress(gateway.handle, authority, tokens, os.environ, own_ports, port=port, pool=gateway.pool)
            break
        except OSError:
            continue
    datafolder.write_text(port_file(settings), str(server.port))
    return server
