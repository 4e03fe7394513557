"""What a rollout does. Each may be done twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, REPLICA


@dataclass(frozen=True)
class CreateReplica:
    """A child record with a name that says what it is: creating it twice is creating it once."""

    endpoint: Record
    name: str
    variant: Mapping[str, Any]

    def perform(self, world: Any) -> None:
        endpoint = self.endpoint
        try:
            world.store.create(
                REPLICA,
                account=endpoint.account,
                region=endpoint.region,
                name=self.name,
                arn=f"{endpoint.arn}/replica/{self.name}",
                owner=endpoint.uid,
                spec={**self.variant, "endpoint": endpoint.name},
                detail={"bill": bill_of(endpoint.name, self.variant)} if endpoint.kind == ENDPOINT.kind else None,
            )
        except Taken:
            return
        world.ring(REPLICA.kind)


def bill_of(endpoint: str, variant: Mapping[str, Any]) -> dict[str, Any]:
    """What a replica of an endpoint costs by, in its first event: the meter may read it when the replica is gone. Instances of transform jobs are
    billed as the job's, copies of components as their variant's instances."""
    serverless = variant.get("serverless") or {}
    facts = {
        "endpoint": endpoint,
        "provisioned": serverless.get("ProvisionedConcurrency"),
        "variant": variant.get("name"),
        "type": variant.get("instance_type"),
        "volume_gb": variant.get("volume_gb"),
    }
    return {name: value for name, value in facts.items() if value is not None} | {"serverless": variant.get("kind") == "serverless"}


@dataclass(frozen=True)
class StopReplica:
    uid: str

    def perform(self, world: Any) -> None:
        while True:
            replica = world.store.by_uid(self.uid)
            if replica is None or replica.spec.get("stop"):
                return
            try:
                world.store.request(replica, {"stop": True})
            except Moved:
                continue
            world.ring(REPLICA.kind)
            return


@dataclass(frozen=True)
class Publish:
    """Writes the endpoint's route table (None: that there is none any more)."""

    key: str
    version: int
    body: Mapping[str, Any] | None

    def perform(self, world: Any) -> None:
        world.store.publish_routes(self.key, self.version, self.body)
        world.ring("routes")
