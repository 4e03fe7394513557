"""What the reconcilers of endpoints and replicas look at."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.records import Record
from modelyard.kernel.tasks import ABSENT
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint import alarms, container, replica, rollout
from modelyard.services.sagemaker.endpoint.health import probes
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, REPLICA
from modelyard.services.sagemaker.images import look_at_image


def see_endpoint(endpoint: Record, world: Any) -> rollout.Seen:
    children = [_child(r, world) for r in world.store.children(endpoint.uid, REPLICA.kind)]
    watched = alarms.states(world.store, endpoint.account, endpoint.region, alarms.watched(endpoint))
    return rollout.Seen(children, *world.store.routes(endpoint.arn), watched, real_now())


def _child(record: Record, world: Any) -> rollout.Child:
    route = None
    if record.status == "InService":
        attempt = record.state["attempt"]
        route = (container.run_id(record, attempt), container.socket(record, attempt, world))
    return rollout.Child(record.name, record.uid, record.status, bool(record.spec.get("stop")), route, record.state.get("reason", ""))


def see_replica(record: Record, world: Any) -> replica.Seen:
    attempt = record.state.get("attempt", 1)
    run_id = container.run_id(record, attempt)
    wanted = not record.spec.get("stop") and world.store.by_uid(record.owner) is not None
    run, now = world.runtime.look(run_id), real_now()
    if not wanted:
        retired = record.status == "Stopping" and container.retire(record, attempt, world)
        return replica.Seen(now, wanted=False, files=world.tasks.look(container.files_key(record)), run=run, retired=retired)
    if record.status == "Preparing":
        image, reason = look_at_image(world, record.spec["image"])
        files = world.tasks.look(container.files_key(record))
        return replica.Seen(now, True, image, reason, files, container.files_ready(record, world), run)
    health = probes(world).look(run_id)
    return replica.Seen(now, files=ABSENT, run=run, healthy=health.ok, failed_pings=health.failed)


api.reconciler(ENDPOINT, see_endpoint)(rollout.decide)
api.reconciler(REPLICA, see_replica)(replica.decide)
