"""The instances of a job: replicas, as endpoints have them (endpoint/container.py, endpoint/replica.py), owned by the job.

So a model is fetched, started, pinged, started again after a crash, and its log kept, by the same code that hosts it.
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.endpoint import container
from modelyard.services.sagemaker.endpoint.lifecycle import REPLICA
from modelyard.services.sagemaker.instances import instance
from modelyard.services.sagemaker.jobs.admission import Place, admit
from modelyard.serving.transform.errors import ALGORITHM, INTERNAL, Refused

LOG_GROUP = "/aws/sagemaker/TransformJobs"
STARTUP_SECONDS = 480.0
NOT_HEALTHY = "The model container did not pass the ping health check. See job logs for more information"


def name(job: Record, host: int) -> str:
    return f"{job.uid}/{host}"


def record(job: Record, host: int, world: Any) -> Record | None:
    return world.store.get(REPLICA.kind, job.account, job.region, name(job, host))


def replica_spec(job: Record) -> dict[str, Any]:
    """What endpoint/actions.py CreateReplica makes an instance of."""
    model = job.spec["model"]
    containers = [{**c, "environment": {**(c["environment"] or {}), **_environment(job)}} for c in model["containers"]]
    return {
        "name": job.name,
        "log_group": LOG_GROUP,
        "log_suffix": _suffix(job),
        "instance_type": job.spec["TransformResources"]["InstanceType"],
        "containers": containers,
        **{key: containers[0][key] for key in ("image", "environment", "data")},
        "role": model["role"],
        "isolated": model["isolated"],
        "startup_s": STARTUP_SECONDS,
        "drain_s": 0.0,
    }


def _environment(job: Record) -> dict[str, str]:
    """The job's own variables, and those by which a container knows that it is in a batch transform; what the request left open
    is left out. Source: "Use your own inference code with batch transform"."""
    spec = job.spec
    found = {**spec.get("Environment", {}), "SAGEMAKER_BATCH": "true"}
    if spec.get("MaxPayloadInMB") is not None:
        found["SAGEMAKER_MAX_PAYLOAD_IN_MB"] = str(spec["MaxPayloadInMB"])
    if spec.get("BatchStrategy"):
        found["SAGEMAKER_BATCH_STRATEGY"] = "SINGLE_RECORD" if spec["BatchStrategy"] == "SingleRecord" else "MULTI_RECORD"
    if spec.get("MaxConcurrentTransforms"):
        found["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"] = str(spec["MaxConcurrentTransforms"])
    return found


def place(job: Record, world: Any) -> Place:
    """Whether there is room for the job's instances now (jobs/admission.py)."""
    kind, count = instance(job.spec["TransformResources"]["InstanceType"]), job.spec["TransformResources"]["InstanceCount"]
    return admit(world, job, kind.cpus_here, kind.memory_here, count)


def _suffix(job: Record) -> str:
    return f"-{int(job.created_at)}"


def data_log(job: Record, replica: Record) -> str:
    """`<job>/<instance>-<time>/data-log`, beside the stream of the containers."""
    return f"{job.name}/i-{replica.uid[:17]}{_suffix(job)}/data-log"


def failure(replica: Record) -> str:
    """A FailureReason of an instance that did not come up."""
    reason = replica.state.get("reason", "")
    if "ping health check" in reason:
        return f"AlgorithmError: {NOT_HEALTHY}"
    return f"ClientError: {reason}"


class View:
    """The instance as serving/transform/caller.py sees it."""

    def __init__(self, job: Record, host: int, world: Any) -> None:
        self._job, self._host, self._world = job, host, world

    def sockets(self) -> list[str] | None:
        replica = record(self._job, self._host, self._world)
        if replica is None or replica.spec.get("stop"):
            raise Refused(INTERNAL, "The instance of the job is gone")
        if replica.status == "Failed":
            raise Refused(ALGORITHM, failure(replica).partition(": ")[2])
        if replica.status != "InService":
            return None
        row = container.route(replica, self._world)
        return [row["socket"], *(stage["socket"] for stage in row.get("stages", ()))]
