"""What the reconcilers of endpoints and replicas look at."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.records import Record
from modelyard.kernel.tasks import ABSENT
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint import alarms, container, replica, rollout, serverless
from modelyard.services.sagemaker.endpoint.fault import FAULT, by_variant
from modelyard.services.sagemaker.endpoint.health import probes
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, REPLICA


def see_endpoint(endpoint: Record, world: Any) -> rollout.Seen:
    children = [_child(r, world) for r in world.store.children(endpoint.uid, REPLICA.kind)]
    faults = by_variant(world.store.children(endpoint.uid, FAULT.kind))
    watched = alarms.states(world.store, endpoint.account, endpoint.region, alarms.watched(endpoint))
    needs = serverless.needs_of(endpoint, world)
    return rollout.Seen(children, *world.store.routes(endpoint.arn), watched, real_now(), faults, needs)


def _child(record: Record, world: Any) -> rollout.Child:
    route = container.route(record, world) if record.status == "InService" else None
    return rollout.Child(record.name, record.uid, record.status, bool(record.spec.get("stop")), route, record.state.get("reason", ""))


def see_replica(record: Record, world: Any) -> replica.Seen:
    wanted = not record.spec.get("stop") and world.store.by_uid(record.owner) is not None
    parts, now = tuple(_part(record, number, world) for number in container.numbers(record)), real_now()
    if not wanted:
        retired = record.status == "Stopping" and container.retire(record, world)
        return replica.Seen(now, wanted=False, files=world.tasks.look(container.files_key(record)), parts=parts, retired=retired)
    if record.status == "Preparing":
        image, reason = container.look_at_images(record, world)
        files = world.tasks.look(container.files_key(record))
        return replica.Seen(now, True, image, reason, files, container.files_ready(record, world), parts)
    return replica.Seen(now, files=ABSENT, parts=parts)


def _part(record: Record, number: int, world: Any) -> replica.Part:
    run = container.run_id(record, number)
    health = probes(world).look(run)
    return replica.Part(world.runtime.look(run), health.ok, health.failed)


api.reconciler(ENDPOINT, see_endpoint)(rollout.decide)
api.reconciler(REPLICA, see_replica)(replica.decide)
