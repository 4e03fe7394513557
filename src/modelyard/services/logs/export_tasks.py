"""Export tasks: the events of a group between two times, into a bucket as one gzip file per stream. One at a time per account.

A task is a record; its work is a thread of the engine that may begin anew: it writes the same keys again.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.ids import new_uuid
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Step
from modelyard.kernel.targets import Delivery
from modelyard.kernel.tasks import TaskState
from modelyard.services.logs import api
from modelyard.services.logs.groups import group_arn, the_group

EXPORT = Lifecycle(
    "log-export-task",
    first="PENDING",
    arrows={"PENDING": {"RUNNING", "CANCELLED", "FAILED"}, "RUNNING": {"COMPLETED", "CANCELLED", "FAILED"}},
)
ACTIVE, PREFIX, PAGE, LOOK_LINES, AGAIN_S = ("PENDING", "RUNNING"), "exportedlogs", 50, 20_000, 1.0


@api.operation
def create_export_task(call, request):
    """AWS's checks: the times, the bucket, and that its policy lets the service of this region read its ACL and put objects."""
    the_group(call, request["logGroupName"])
    if request["from"] > request["to"]:
        raise api.error.InvalidParameterException("The specified time range is not valid: from is later than to.")
    prefix = request.get("destinationPrefix", PREFIX).strip("/")
    _check_bucket(call, request["destination"], prefix)
    call.authorize("s3:PutObject", f"arn:aws:s3:::{request['destination']}/{prefix}/*")
    if call.store.list(EXPORT.kind, call.account, call.region, status=ACTIVE, limit=1):
        raise api.error.LimitExceededException("Resource limit exceeded.")
    task, kept = new_uuid(), ("logGroupName", "from", "to", "destination", "taskName", "logStreamNamePrefix")
    spec = {**{member: request[member] for member in kept if member in request}, "destinationPrefix": prefix}
    arn = f"arn:aws:logs:{call.region}:{call.account}:export-task:{task}"
    call.store.create(EXPORT, account=call.account, region=call.region, name=task, arn=arn, spec=spec)
    call.platform.ring("logs")
    return {"taskId": task}


@api.operation
def describe_export_tasks(call, request):
    """Newest first."""
    if (id := request.get("taskId")) is not None:
        found = [task] if (task := call.store.get(EXPORT.kind, call.account, call.region, id)) else []
    else:
        found = call.store.list(EXPORT.kind, call.account, call.region, descending=True)
    found = [task for task in found if request.get("statusCode", _status(task)) == _status(task)]
    start = decode_token(request.get("nextToken"), api.error.InvalidParameterException, 0) or 0
    size = request.get("limit", PAGE)
    answer = {"exportTasks": [_describe(task) for task in found[start : start + size]]}
    if start + size < len(found):
        answer["nextToken"] = encode_token(start + size)
    return answer


@api.operation
def cancel_export_task(call, request):
    while True:
        task = call.store.get(EXPORT.kind, call.account, call.region, request["taskId"])
        if task is None:
            raise api.error.ResourceNotFoundException("The specified export task does not exist.")
        if EXPORT.is_final(task.status) or task.spec.get("cancel"):
            raise api.error.InvalidOperationException("The specified export task has already finished")
        try:
            call.store.request(task, {"cancel": True})
        except Moved:
            continue
        call.platform.ring("logs")
        return {}


# --- the record's way ----------------------------------------------------------------------------


def _observe(task: Record, world: Any) -> TaskState:
    return world.tasks.look(_key(task))


@api.reconciler(EXPORT, observe=_observe)
def decide(task: Record, seen: TaskState, now: float) -> Step:
    if EXPORT.is_final(task.status):
        return Step(task.status)
    if task.spec.get("cancel") and seen.state == "absent":
        return Step("CANCELLED", state={"message": "Cancelled by user request", "ended": now})
    if seen.state == "absent":
        return Step("RUNNING", do=[Export(task)], wake_in_real_s=AGAIN_S)
    if seen.state == "running":
        return Step("RUNNING", wake_in_real_s=AGAIN_S)
    if seen.state == "failed":
        return Step("FAILED", state={"message": str(seen.error)[:1000], "ended": now})
    status, message = ("COMPLETED", "Completed successfully") if seen.result else ("CANCELLED", "Cancelled by user request")
    return Step(status, state={"message": message, "ended": now})


@dataclass(frozen=True)
class Export:
    task: Record

    def perform(self, world: Any) -> None:
        world.tasks.ensure(_key(self.task), lambda: export(self.task, world), on_end=lambda: world.wake(self.task.uid))


def export(task: Record, world: Any) -> bool:
    """Writes the files; False: it was cancelled in between. Raises where the bucket or the group is gone."""
    spec, logs = task.spec, world.logs
    group = logs.group(task.account, task.region, spec["logGroupName"])
    if group is None:
        raise api.error.ResourceNotFoundException("The specified log group does not exist.")
    start = max(spec["from"], group.oldest_ms(logs.now_ms()))
    world.objects.put_bytes(
        task.account, spec["destination"], f"{spec['destinationPrefix']}/aws-logs-write-test", b"Permission Check Successful"
    )
    for stream in logs.streams(group, prefix=spec.get("logStreamNamePrefix", ""), limit=1_000_000):
        events = logs.scan([stream], start_ms=start, end_ms=spec["to"] + 1)
        with tempfile.TemporaryDirectory(prefix="modelyard-export-") as folder:
            path = Path(folder) / "000000.gz"
            count = 0
            with gzip.open(path, "wb", 6) as file:
                while lines := list(islice(events, LOOK_LINES)):
                    if world.store.by_uid(task.uid).spec.get("cancel"):
                        return False
                    file.write(_text(lines))
                    count += len(lines)
            if count:
                key = f"{spec['destinationPrefix']}/{task.name}/{stream.name.replace('/', '-')}/000000.gz"
                world.objects.put_file(task.account, spec["destination"], key, path, "application/x-gzip")
    return True


# --- helpers -------------------------------------------------------------------------------------


def _check_bucket(call: Any, bucket: str, prefix: str) -> None:
    services = (f"logs.{call.region}.amazonaws.com", "logs.amazonaws.com")
    for action, arn, name in (
        ("s3:GetBucketAcl", f"arn:aws:s3:::{bucket}", "GetBucketAcl"),
        ("s3:PutObject", f"arn:aws:s3:::{bucket}/{prefix}/x", "PutObject"),
    ):
        source = group_arn(call, "*")
        asked = [Delivery(arn, "", service, source, call.account, call.region, "") for service in services]
        try:
            allowed = any(call.platform.objects.admits(call.platform, one, action) for one in asked)
        except ApiError:
            raise api.error.InvalidParameterException("The given bucket does not exist. Please make sure the bucket is valid.") from None
        if not allowed:
            raise api.error.InvalidParameterException(
                f"{name} call on the given bucket failed. Please check if CloudWatch Logs has been granted permission to perform this operation."
            )


def _text(events: Iterable[Any]) -> bytes:
    return "".join(
        f"{datetime.fromtimestamp(e.at_ms // 1000, UTC):%Y-%m-%dT%H:%M:%S}.{e.at_ms % 1000:03d}Z {e.message}\n" for e in events
    ).encode()


def _key(task: Record) -> str:
    return f"log-export {task.uid}"


def _status(task: Record) -> str:
    return "PENDING_CANCEL" if task.spec.get("cancel") and task.status in ACTIVE else task.status


def _describe(task: Record) -> dict[str, Any]:
    shown = ("taskName", "logGroupName", "from", "to", "destination", "destinationPrefix")
    status = {"code": _status(task), **({"message": task.state["message"]} if "message" in task.state else {})}
    info = {"creationTime": int(task.created_at * 1000)}
    if "ended" in task.state:
        info["completionTime"] = int(task.state["ended"] * 1000)
    kept = {member: task.spec[member] for member in shown if member in task.spec}
    return {"taskId": task.name, **kept, "status": status, "executionInfo": info}
