"""UpdateTrainingJob: profiler and remote debugging while it runs, the warm pool after its end."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE
from modelyard.services.sagemaker.training_job.operations import the_job


@api.operation
def update_training_job(call, request):
    if len(request) < 2:
        raise validation("At least one of ProfilerConfig, ProfilerRuleConfigurations, ResourceConfig and RemoteDebugConfig must be given.")
    while True:
        job = the_job(call, request["TrainingJobName"])
        try:
            call.store.request(job, _changes(job, request), detail={"wish": "update"})
        except Moved:
            continue
        call.platform.ring(LIFECYCLE.kind)
        return {"TrainingJobArn": job.arn}


def _changes(job: Record, request: dict[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if "ResourceConfig" in request:
        if job.state.get("warm") != "Available":
            raise validation("KeepAlivePeriodInSeconds can only be updated for a training job whose warm pool is Available.")
        changes["ResourceConfig"] = {**job.spec["ResourceConfig"], **request["ResourceConfig"]}
    if LIFECYCLE.is_final(job.status) and len(request) > 1 + len(changes):
        raise validation(f"The request was rejected because the training job is in status {job.status}.")
    if "ProfilerConfig" in request:
        changes["ProfilerConfig"] = {**job.spec.get("ProfilerConfig", {}), **request["ProfilerConfig"]}
    if "ProfilerRuleConfigurations" in request:
        known = {rule["RuleConfigurationName"]: rule for rule in job.spec.get("ProfilerRuleConfigurations", [])}
        known |= {rule["RuleConfigurationName"]: rule for rule in request["ProfilerRuleConfigurations"]}
        changes["ProfilerRuleConfigurations"] = list(known.values())
    if "RemoteDebugConfig" in request:
        if job.state["secondary"] not in ("Downloading", "Training"):
            raise validation("RemoteDebugConfig can only be updated while the SecondaryStatus is Downloading or Training.")
        changes["RemoteDebugConfig"] = request["RemoteDebugConfig"]
    return changes
