"""The walk of a transform job: image and list of objects → a place (jobs/admission.py) → instances and workers → the end. `decide` is pure.

The record remembers the phase, how many objects and hosts there are, and the end. Everything else is looked up: the ledger's files, the
instances (child records that hosting moves), the workers of this engine. A killed engine's workers die with it; the next one starts
them again for what the ledger does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.reconcile import Step
from modelyard.kernel.records import Record
from modelyard.kernel.tasks import ABSENT, RUNNING, TaskState
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint.lifecycle import REPLICA
from modelyard.services.sagemaker.images import look_at_image
from modelyard.services.sagemaker.jobs.admission import Place
from modelyard.services.sagemaker.jobs.failures import CHARACTERS, no_image, reason_of
from modelyard.services.sagemaker.transform_job import instances
from modelyard.services.sagemaker.transform_job.actions import (
    BuildImages,
    Capture,
    CleanUp,
    EndInstances,
    ListObjects,
    ReadLogs,
    StartInstance,
    Work,
    capture_key,
    image_uris,
    is_apart,
    list_key,
    work_key,
)
from modelyard.services.sagemaker.transform_job.ledger import Ledger
from modelyard.services.sagemaker.transform_job.lifecycle import FINAL, LIFECYCLE

LOOK_SECONDS, QUICK_SECONDS = 0.25, 0.05
MOST_TRIES = 5
"""So often in a row a worker may end without having been through with one more object."""
SEE_LOGS = "See job logs for more information"
LOST = f"InternalServerError: The worker of the job was lost {MOST_TRIES} times. Please try again."


@dataclass(frozen=True)
class Seen:
    """`instances` has (status, reason) by host, of those that are there; `work` the worker of each host; `done` what the ledger
    has of objects: number → None or [side, text], read only where no worker is under way. `apart`: workers are processes of their own."""

    image: str = "ready"
    image_reason: str = ""
    listed: TaskState = ABSENT
    place: Place | None = None
    instances: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    work: Mapping[int, TaskState] = field(default_factory=dict)
    done: Mapping[int, list[str] | None] = field(default_factory=dict)
    capture: TaskState = ABSENT
    apart: bool = False

    @property
    def at_work(self) -> bool:
        return any(task.state == "running" for task in self.work.values())


def observe(job: Record, world: Any) -> Seen:
    if job.status in FINAL:
        return Seen()
    if job.state.get("phase", "list") == "list":
        image, listed = _images(job, world), world.tasks.look(list_key(job))
        ready = image[0] == "ready" and listed.state == "done" and not job.spec.get("stop")
        return Seen(*image, listed=listed, place=instances.place(job, world) if ready else None)
    hosts = range(1, job.state["hosts"] + 1)
    replicas = {r.name: r for r in world.store.children(job.uid, REPLICA.kind)}
    there = {host: replicas[name] for host in hosts if (name := instances.name(job, host)) in replicas}
    states = {host: (r.status, instances.failure(r) if r.status == "Failed" else "") for host, r in there.items()}
    ledger = Ledger(job, world)
    work = {host: _work(job, host, ledger, world) for host in hosts}
    done = {number: told for host in hosts if work[host].state != "running" for number, told in ledger.done(host).items()}
    return Seen(instances=states, work=work, done=done, capture=world.tasks.look(capture_key(job)), apart=is_apart(job, world))


def _work(job: Record, host: int, ledger: Ledger, world: Any) -> TaskState:
    """The worker of a host: this engine's, or another's."""
    mine = world.tasks.look(work_key(job, host))
    return RUNNING if mine.state == "absent" and ledger.is_worked_on(host) else mine


def _images(job: Record, world: Any) -> tuple[str, str]:
    """The worst of all images of the model."""
    found = [look_at_image(world, uri, "serve") for uri in image_uris(job)]
    bad = [one for one in found if one[0] in ("unknown", "failed")]
    return (bad or [one for one in found if one[0] != "ready"] or found)[0]


@api.reconciler(LIFECYCLE, observe)
def decide(job: Record, seen: Seen, now: float) -> Step:
    if job.status in FINAL:
        return Step(job.status, do=[CleanUp(job)])
    if job.state.get("phase", "list") == "list":
        return _list(job, seen, now)
    if "outcome" in job.state:
        return _ending(job, seen, now)
    if job.spec.get("stop"):
        return _stop(job, seen, now)
    return _run(job, seen, now)


def _list(job: Record, seen: Seen, now: float) -> Step:
    if job.spec.get("stop"):
        return _end(job, "Stopped", now)
    if reason := no_image(seen.image, seen.image_reason):
        return _end(job, "Failed", now, reason)
    if seen.listed.state == "failed":
        return _end(job, "Failed", now, reason_of(seen.listed.error))
    if seen.listed.state == "done" and seen.image == "ready" and seen.place is not None:
        if not seen.place:
            return Step(job.status, wake_in_real_s=seen.place.look_in_real_s)
        objects, size = seen.listed.result
        hosts = min(job.spec["TransformResources"]["InstanceCount"], objects)
        state = {"phase": "run", "objects": objects, "bytes": size, "hosts": hosts, "started_at": now}
        return Step(job.status, state, do=[StartInstance(job, host) for host in range(1, hosts + 1)], wake_in_real_s=QUICK_SECONDS)
    do = [BuildImages(job)] if seen.image != "ready" else []
    return Step(job.status, do=[*do, ListObjects(job)], wake_in_real_s=QUICK_SECONDS if seen.image == "ready" else LOOK_SECONDS)


def _run(job: Record, seen: Seen, now: float) -> Step:
    """Every host works through its share; one that ends without being through is started again."""
    failed = [reason for status, reason in seen.instances.values() if status == "Failed"]
    if failed:
        return _to_end(job, "Failed", failed[0], now)
    do: list[Any] = []
    tries, hosts = dict(job.state.get("tries", {})), job.state["hosts"]
    objects = job.state["objects"]
    for host in range(1, hosts + 1):
        task, status = seen.work.get(host, ABSENT), seen.instances.get(host, ("", ""))[0]
        mine = range(host - 1, objects, hosts)
        done = sum(number in seen.done for number in mine)
        if task.state == "running" or done == len(mine):
            continue
        if task.state in ("done", "failed"):
            before = tries.get(str(host), {"done": 0, "times": 0})
            tries[str(host)] = {"done": done, "times": before["times"] + 1 if before["done"] == done else 1}
            if tries[str(host)]["times"] >= MOST_TRIES:
                return _to_end(job, "Failed", reason_of(task.error) if task.error else LOST, now)
            do.append(Work(job, host, again=True))
        elif not status:
            do.append(StartInstance(job, host))
        elif status == "InService" or seen.apart:  # a process starts while the model does
            do.append(Work(job, host))
    if all(number in seen.done for number in range(objects)) and not seen.at_work:
        return _to_end(job, *_verdict(seen), now)
    return Step(job.status, {"tries": tries} if tries else None, do=do, wake_in_real_s=LOOK_SECONDS)


def _verdict(seen: Seen) -> tuple[str, str | None]:
    bad = sorted((number, told) for number, told in seen.done.items() if told)
    if not bad:
        return "Completed", None
    side, text = bad[0][1]
    more = f" ({len(bad)} of {len(seen.done)} objects failed)" if len(seen.done) > 1 else ""
    return "Failed", f"{side}: {SEE_LOGS}. {text}{more}"[:CHARACTERS]


def _stop(job: Record, seen: Seen, now: float) -> Step:
    if job.status == "InProgress":
        return Step("Stopping", do=[EndInstances(job)], wake_in_real_s=QUICK_SECONDS)
    if seen.at_work:
        return Step("Stopping", do=[EndInstances(job)], wake_in_real_s=QUICK_SECONDS)
    return _end(job, "Stopped", now)


def _to_end(job: Record, outcome: str, reason: str | None, now: float) -> Step:
    """The verdict is on record before anything of the job goes: whoever looks next comes to the same."""
    return Step(job.status, {"outcome": outcome, "reason": reason}, wake_in_real_s=0.0)


def _ending(job: Record, seen: Seen, now: float) -> Step:
    """Workers end, a capture is written, then the job is over; its instances go by themselves."""
    outcome, reason = job.state["outcome"], job.state.get("reason")
    if seen.at_work:
        return Step(job.status, do=[EndInstances(job)], wake_in_real_s=QUICK_SECONDS)
    if outcome == "Completed" and job.spec.get("DataCaptureConfig"):
        if seen.capture.state == "failed":
            return _end(job, "Failed", now, reason_of(seen.capture.error))
        if seen.capture.state != "done":
            return Step(job.status, do=[Capture(job)], wake_in_real_s=QUICK_SECONDS)
    if job.status == "Stopping" and outcome == "Completed":
        outcome = "Stopped"
    return _end(job, outcome, now, reason)


def _end(job: Record, status: str, now: float, reason: str | None = None) -> Step:
    """The last step; once it is committed one more look cleans up."""
    state: dict[str, Any] = {"ended_at": now, "phase": "end", "started_at": job.state.get("started_at", now)}
    if reason:
        state["reason"] = reason
    return Step(status, state, do=[ReadLogs(job), EndInstances(job)], wake_at=now, detail={"reason": reason} if reason else None)
