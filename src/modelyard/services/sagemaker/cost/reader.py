"""Record events → meters. Jobs are billed from when their instances are theirs to the end, endpoints per instance from when it serves.

Facts of a job: `instances` [{"type", "count"}], `volume_gb` per instance, `spot`, and when it has ended `billable_s` and `used_s` as
DescribeTrainingJob tells them. Facts of an endpoint's instance: `endpoint`, `variant`, `type`, `volume_gb`, `serverless`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.records import Event, Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint.actions import bill_of
from modelyard.services.sagemaker.endpoint.lifecycle import REPLICA
from modelyard.services.sagemaker.training_job.operations import describe as describe_training

JOBS = {"training-job": "ResourceConfig", "processing-job": "ProcessingResources", "transform-job": "TransformResources"}
ENDPOINT = "endpoint"
OVER = ("Stopping", "Failed", None)
"""A replica's statuses in which its instance is not billed any more."""


@api.reader("cost", kinds={*JOBS, REPLICA.kind})
def read(event: Event, platform: Any) -> None:
    if event.kind == REPLICA.kind:
        _replica(event, platform)
        return
    record = platform.store.by_uid(event.uid)
    if record is None:  # deleted since: what it was is in the table already, or it never ran
        platform.meters.times(event.uid, ended=event.at)
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


def facts_of_job(record: Record) -> dict[str, Any]:
    facts = resources_of(record.kind, record.spec)
    if record.kind == "training-job" and "ended_at" in record.state:
        said = describe_training(record)
        billable, used = said.get("BillableTimeInSeconds"), said.get("TrainingTimeInSeconds")
        if billable is not None and record.state["ended_at"] > record.state["started_at"]:
            facts |= {"billable_s": billable, "used_s": billable if used is None else used}
    return facts


def resources_of(kind: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that a create request of a job tells."""
    resources = request.get(JOBS[kind]) or {}
    resources = resources.get("ClusterConfig", resources)
    groups = resources.get("InstanceGroups") or [resources]
    instances = [{"type": g["InstanceType"], "count": g.get("InstanceCount", 1)} for g in groups if g.get("InstanceType")]
    facts: dict[str, Any] = {"instances": instances, "volume_gb": resources.get("VolumeSizeInGB", 0)}
    if request.get("EnableManagedSpotTraining"):
        facts["spot"] = True
    return facts


def _replica(event: Event, platform: Any) -> None:
    """Its first event says what it costs by; the record may be gone when an event of it is read."""
    bill = event.detail.get("bill")
    if event.old is None and bill is None and (record := platform.store.by_uid(event.uid)) is not None:
        bill = bill_of(record.spec["endpoint"], record.spec)  # made before events told it
    if event.old is None and bill is not None:
        platform.meters.note(
            event.uid,
            kind=ENDPOINT,
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
