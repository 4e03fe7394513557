"""Record events → meters. Jobs are billed from when their instances are theirs to the end, endpoints per instance from when it serves.

Facts of a job: `instances` [{"type", "count"}], `volume_gb` per instance, `spot`; of a training job `discount` (percent) and, while it runs,
`held_s` and `held_from`: how long it had instances before, and since when it has them now; when it has ended `billable_s` and `used_s` as
DescribeTrainingJob tells them. The warm pool it leaves is a meter of its own, with `warm`. Facts of an endpoint's instance: `endpoint`, `variant`, `type`, `volume_gb`, `serverless`,
`provisioned` (how many of its variant always stand); `count` where one meter is several instances.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.records import Event, Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint.actions import bill_of
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, REPLICA
from modelyard.services.sagemaker.inference_component.lifecycle import HOST_MODE
from modelyard.services.sagemaker.training_job import warm
from modelyard.services.sagemaker.training_job.operations import describe as describe_training

JOBS = {"training-job": "ResourceConfig", "processing-job": "ProcessingResources", "transform-job": "TransformResources"}
OVER = ("Stopping", "Failed", None)
"""A replica's statuses in which its instance is not billed any more."""
GONE = ("Deleting", "Failed", None)
"""An endpoint's."""


@api.reader("cost", kinds={*JOBS, REPLICA.kind, ENDPOINT.kind})
def read(event: Event, platform: Any) -> None:
    if event.kind == REPLICA.kind:
        _replica(event, platform)
        return
    if event.kind == ENDPOINT.kind:
        _shared_instances(event, platform)
        return
    record = platform.store.by_uid(event.uid)
    if record is None:  # deleted since: what it was is in the table already, or it never ran
        for uid in (event.uid, warm_uid(event.uid)):
            platform.meters.times(uid, ended=event.at)
    elif "started_at" in record.state:
        platform.meters.note(
            record.uid,
            kind=record.kind,
            account=record.account,
            region=record.region,
            name=record.name,
            facts=facts_of_job(record),
            began=record.state["started_at"],
            ended=record.state.get("ended_at"),
        )
        if record.state.get("warm_ended_at", record.state.get("warm") == "Available"):
            _warm_pool(record, platform)


def _warm_pool(record: Record, platform: Any) -> None:
    ended = record.state.get("warm_ended_at")
    platform.meters.note(
        warm_uid(record.uid),
        kind=record.kind,
        account=record.account,
        region=record.region,
        name=record.name,
        facts={**resources_of(record.kind, record.spec), "warm": True},
        began=record.state["ended_at"],
        ended=None if ended is None else min(ended, warm.until(record)),
    )


def warm_uid(uid: str) -> str:
    return f"{uid}/warm"


def facts_of_job(record: Record) -> dict[str, Any]:
    facts, state = resources_of(record.kind, record.spec), record.state
    if record.kind != "training-job":
        return facts
    if state.get("discount"):
        facts["discount"] = state["discount"]
    if "ended_at" not in state:
        since = state.get("held_from", None if "held_s" in state else state["started_at"])
        return facts | {"held_s": state.get("held_s", 0.0), "held_from": since}
    if state["ended_at"] > state["started_at"]:
        said = describe_training(record)
        facts |= {"billable_s": said["BillableTimeInSeconds"], "used_s": said["TrainingTimeInSeconds"]}
    return facts


def resources_of(kind: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that a create request of a job tells."""
    resources = request.get(JOBS[kind]) or {}
    resources = resources.get("ClusterConfig", resources)
    groups = resources.get("InstanceGroups") or [resources]
    instances = [{"type": g["InstanceType"], "count": g.get("InstanceCount", 1)} for g in groups if g.get("InstanceType")]
    if "SelectedInstanceType" in resources:
        instances = [{"type": resources["SelectedInstanceType"], "count": resources["SelectedInstanceCount"]}]
    facts: dict[str, Any] = {"instances": instances, "volume_gb": resources.get("VolumeSizeInGB", 0)}
    if request.get("EnableManagedSpotTraining"):
        facts["spot"] = True
    return facts


def _replica(event: Event, platform: Any) -> None:
    """Its first event says what it costs by; the record may be gone when an event of it is read."""
    bill = event.detail.get("bill")
    if event.old is None and bill is not None:
        platform.meters.note(
            event.uid,
            kind=ENDPOINT.kind,
            account=event.account,
            region=event.region,
            name=bill["endpoint"],
            facts=bill,
            began=None,
            ended=None,
        )
    if event.new == "InService":
        platform.meters.times(event.uid, began=event.at)
    elif event.new in OVER:
        platform.meters.times(event.uid, ended=event.at)


def _shared_instances(event: Event, platform: Any) -> None:
    """Instances on which inference components run: they have no replicas of their own and are there as long as the endpoint is."""
    endpoint = None if event.new in GONE else platform.store.by_uid(event.uid)
    serving = (endpoint.state.get("serving") if endpoint is not None else None) or {"variants": []}
    hosts = [v for v in serving["variants"] if v.get("mode") == HOST_MODE]
    if hosts or event.new in GONE:
        wanted = {v["name"]: {**bill_of(event.name, v), "count": v["count"]} for v in hosts}
        platform.meters.stand(
            event.uid, wanted, seq=event.seq, at=event.at, kind=ENDPOINT.kind, account=event.account, region=event.region, name=event.name
        )
