"""How what runs in a box reaches the outside: by the platform's filtered proxy, trusting the platform's certificates."""

from __future__ import annotations

from typing import Any


def way_out(run_id: str, world: Any) -> dict[str, Any]:
    """Fields of the run's RunSpec. A platform without a front door (tests) has no way out."""
    url = world.parts.get("egress_url")
    bundle = world.settings.data / "ca" / "bundle.pem"
    return {
        "egress": True,
        "egress_port": world.parts.get("egress_port"),
        "egress_url": url(run_id) if url is not None else None,
        "trust": str(bundle) if bundle.exists() else None,
    }
