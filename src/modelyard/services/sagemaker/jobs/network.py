"""What a run may reach: this platform and the filtered way out, or nothing (EnableNetworkIsolation)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def network_of(world: Any, run_id: str, isolated: bool, hosts: Sequence[str] = ("algo-1",)) -> tuple[dict[str, str], dict[str, Any]]:
    """`hosts` are all hosts of the job, which reach each other directly. Answers (variables of the environment, fields of the RunSpec: mounts, platform_port, egress, egress_port)."""
    if isolated:
        return {}, {"mounts": [], "platform_port": None, "egress": False, "egress_port": None}
    if "wayout" in world.parts:
        fields = dict(world.wayout.of(run_id))
        return {name: _aside(name, value, hosts) for name, value in fields.pop("env").items()}, fields
    port = world.settings.port
    fields = {"mounts": [], "platform_port": port, "egress": False, "egress_port": None}
    return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT": f"http://127.0.0.1:{port}"}, fields


def _aside(name: str, value: str, hosts: Sequence[str]) -> str:
    """Hosts of the job are not asked through the proxy."""
    if name.lower() != "no_proxy":
        return value
    return ",".join(dict.fromkeys([*value.split(","), *hosts]))
