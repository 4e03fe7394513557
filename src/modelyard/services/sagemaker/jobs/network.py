"""What a run may reach: this platform and the filtered way out, or nothing (EnableNetworkIsolation)."""

from __future__ import annotations

from typing import Any


def network_of(world: Any, run_id: str, isolated: bool) -> tuple[dict[str, str], dict[str, Any]]:
    """(variables of the environment, fields of the RunSpec: mounts, platform_port, egress, egress_port)."""
    if isolated:
        return {}, {"mounts": [], "platform_port": None, "egress": False, "egress_port": None}
    if "wayout" in world.parts:
        fields = dict(world.wayout.of(run_id))
        return fields.pop("env"), fields
    port = world.settings.port
    fields = {"mounts": [], "platform_port": port, "egress": False, "egress_port": None}
    return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}, fields
