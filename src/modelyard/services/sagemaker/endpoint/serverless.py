"""Serverless variants: what a ServerlessConfig may say, and how many instances there shall be. Pure, but for `Demand`.

Gateways write when the first, second, … instance of a variant was needed last (serving/serverless.py). An instance that nobody
needed for IDLE_SECONDS goes; provisioned ones stay. So a variant nobody calls goes to zero, and the first call after that starts
an instance and waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Step

IDLE_SECONDS = 300.0
"""Platform time. AWS does not say how long it keeps an idle instance; users see five to fifteen minutes."""
STEP_MB, LEAST_MB, MOST_MB, MOST_CONCURRENCY = 1024, 1024, 6144, 200
NOT_SUPPORTED = "One or more endpoint features not supported using this configuration."
"""AWS's words for a ServerlessConfig beside something that serverless endpoints do not have."""
REQUEST_CONFLICTS = (
    "DataCaptureConfig",
    "ShadowProductionVariants",
    "AsyncInferenceConfig",
    "ExplainerConfig",
    "VpcConfig",
    "EnableNetworkIsolation",
)
VARIANT_CONFLICTS = (
    "InstanceType", "InitialInstanceCount", "AcceleratorType", "CoreDumpConfig", "VolumeSizeInGB", "ManagedInstanceScaling", "RoutingConfig",
    "ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds", "EnableSSMAccess", "InferenceAmiVersion",
)  # fmt: skip


# --- checks --------------------------------------------------------------------------------------


def check_request(request: Mapping[str, Any]) -> None:
    """CreateEndpointConfig: what serverless endpoints do not have ("Deploy models with Serverless Inference", feature exclusions)."""
    variants = request["ProductionVariants"]
    if not any(v.get("ServerlessConfig") for v in variants):
        return
    if len(variants) > 1:
        raise _unsupported("a serverless endpoint has one production variant")
    for member in REQUEST_CONFLICTS:
        if request.get(member):
            raise _unsupported(f"serverless endpoints do not support {member}")
    variant = variants[0]
    for member in VARIANT_CONFLICTS:
        if variant.get(member) is not None:
            raise _unsupported(f"{member} cannot be specified together with ServerlessConfig")
    check_config(variant["ServerlessConfig"])


def check_config(config: Mapping[str, Any]) -> None:
    memory, most, warm = config["MemorySizeInMB"], config["MaxConcurrency"], config.get("ProvisionedConcurrency")
    if memory % STEP_MB or not LEAST_MB <= memory <= MOST_MB:
        raise validation(
            f"MemorySizeInMB of ServerlessConfig is {memory}; it must be one of {', '.join(str(mb) for mb in range(LEAST_MB, MOST_MB + 1, STEP_MB))}."
        )
    if not 1 <= most <= MOST_CONCURRENCY:
        raise validation(f"MaxConcurrency of ServerlessConfig must be between 1 and {MOST_CONCURRENCY}.")
    if warm is not None and warm > most:
        raise validation(f"ProvisionedConcurrency ({warm}) must be less than or equal to MaxConcurrency ({most}).")


def check_model(name: str, spec: Mapping[str, Any], mode: str, containers: Sequence[Mapping[str, Any]]) -> None:
    """CreateEndpoint: models that serverless endpoints do not run."""
    if mode or len(containers) > 1:
        raise _unsupported(f"model {name} has several containers or models, and a serverless endpoint runs one")
    for member in ("VpcConfig", "EnableNetworkIsolation"):
        if spec.get(member):
            raise _unsupported(f"model {name} has {member}, which serverless endpoints do not support")


def _unsupported(why: str) -> Exception:
    return validation(f"{NOT_SUPPORTED} ({why[0].upper()}{why[1:]}.)")


# --- deployments ---------------------------------------------------------------------------------


def frozen(config: Mapping[str, Any]) -> dict[str, Any]:
    """Members of a variant in a deployment. One instance at least comes up before the endpoint is in service."""
    return {
        "kind": "serverless",
        "serverless": dict(config),
        "count": max(1, config.get("ProvisionedConcurrency") or 0),
        "instance_type": f"ml.serverless.{config['MemorySizeInMB']}",
    }


def rescaled(variant: Mapping[str, Any], wish: Mapping[str, Any]) -> dict[str, Any]:
    """UpdateEndpointWeightsAndCapacities of a serverless variant."""
    if "DesiredInstanceCount" in wish:
        raise validation(f"DesiredInstanceCount cannot be specified for serverless production variant {variant['name']}.")
    update = wish.get("ServerlessUpdateConfig")
    if not update:
        return {}
    config = {**variant["serverless"], **update}
    check_config(config)
    return frozen(config)


def row(endpoint: Record, variant: Mapping[str, Any]) -> dict[str, Any]:
    """Members of its row in the route table."""
    config = variant.get("serverless")
    if not config:
        return {}
    extra = {"wake": endpoint.uid, "provisioned": config.get("ProvisionedConcurrency") or 0}
    return {"kind": "serverless", "most_at_once": config["MaxConcurrency"], "extra": extra}


def described(answer: dict[str, Any], now: Mapping[str, Any], desired: Mapping[str, Any]) -> dict[str, Any]:
    """A variant as DescribeEndpoint tells it: its configuration in the place of instance counts."""
    if not now.get("serverless"):
        return answer
    return {
        **{k: v for k, v in answer.items() if k not in ("DesiredInstanceCount", "InstanceType")},
        "CurrentInstanceCount": 0,
        "CurrentServerlessConfig": now["serverless"],
        "DesiredServerlessConfig": desired.get("serverless") or now["serverless"],
    }


# --- how many ------------------------------------------------------------------------------------

Needs = Mapping[str, Sequence[Sequence[float]]]
"""Variant → for each gateway, when the first, second, … instance was needed last."""


def wanted_now(variant: Mapping[str, Any], since: float, needs: Sequence[Sequence[float]], now: float) -> int:
    """`since` is when the endpoint came into service, which counts as one need."""
    config = variant["serverless"]
    lately = sum(at > now - IDLE_SECONDS for times in needs for at in times)
    lately = max(lately, 1 if since > now - IDLE_SECONDS else 0)
    return max(config.get("ProvisionedConcurrency") or 0, min(lately, config["MaxConcurrency"]))


def fitted(endpoint: Record, needs: Needs, now: float) -> Record:
    """The endpoint with the counts of its serverless variants as they shall be now."""
    serving = endpoint.state.get("serving")
    if serving is None or not any(v.get("serverless") for v in serving["variants"]):
        return endpoint
    variants = [
        {**v, "count": wanted_now(v, endpoint.updated_at, needs.get(v["name"], ()), now)} if v.get("serverless") else v
        for v in serving["variants"]
    ]
    return replace(endpoint, state={**endpoint.state, "serving": {**serving, "variants": variants}})


def timed(endpoint: Record, needs: Needs, step: Step, now: float) -> Step:
    """The step, with a look at the moment at which the next instance may go."""
    serving = endpoint.state.get("serving")
    if serving is None or not any(v.get("serverless") for v in serving["variants"]):
        return step
    times = [endpoint.updated_at, *(at for of in needs.values() for times in of for at in times)]
    ends = [at + IDLE_SECONDS for at in times if at > now - IDLE_SECONDS]
    return replace(step, wake_at=min([*ends, *([step.wake_at] if step.wake_at is not None else [])], default=None))


# --- what gateways say ---------------------------------------------------------------------------

MIGRATIONS = [
    """
    CREATE TABLE serverless_demand (
        endpoint TEXT NOT NULL, variant TEXT NOT NULL, gateway TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, needed TEXT NOT NULL,
        PRIMARY KEY (endpoint, variant, gateway))
    """,
]
FORGET_SECONDS = 4 * IDLE_SECONDS


class Demand:
    """`platform.serverless`: the rows of gateways."""

    def __init__(self, platform: Any, gateway: str) -> None:
        self._platform, self._gateway = platform, gateway
        platform.store.db.migrate("serverless", MIGRATIONS)

    def tell(self, endpoint: str, variant: str, needed: list[float], missing: bool) -> None:
        """Writes what this gateway needs of an endpoint (its uid); wakes the endpoint where an instance is missing."""
        now = self._platform.clock.now()
        kept = [at for at in needed if at > now - FORGET_SECONDS]
        with self._platform.store.db.write() as tx:
            tx.execute(
                "INSERT INTO serverless_demand VALUES (?,?,?,?,?) ON CONFLICT (endpoint, variant, gateway) DO UPDATE SET "
                "at = excluded.at, needed = excluded.needed",
                (endpoint, variant, self._gateway, now, orjson.dumps(kept).decode()),
            )
            tx.execute("DELETE FROM serverless_demand WHERE at < ?", (now - FORGET_SECONDS,))
        if missing:
            self._platform.wake(endpoint)

    def needs(self, endpoint: str) -> Needs:
        found: dict[str, list[list[float]]] = {}
        rows = self._platform.store.db.read(
            "SELECT variant, needed FROM serverless_demand WHERE endpoint = ? ORDER BY gateway", (endpoint,)
        )
        for variant, needed in rows:
            found.setdefault(variant, []).append(orjson.loads(needed))
        return found


def needs_of(endpoint: Record, world: Any) -> Needs:
    """What the reconciler of endpoints looks at; nothing for those without serverless variants."""
    serving = endpoint.state.get("serving")
    if serving is None or not any(v.get("serverless") for v in serving["variants"]):
        return {}
    return world.serverless.needs(endpoint.uid)
