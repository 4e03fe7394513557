"""The end of a job that a pipeline made wakes its execution. Heard from the outbox: no end is lost, whoever was killed."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Event
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.pipeline.children import EXECUTION_TAG, KINDS
from modelyard.services.sagemaker.pipeline.lifecycle import EXECUTION

JOBS = {kind.kind: kind for kind in KINDS.values() if kind.stops}


@api.reader("pipeline-jobs", kinds=set(JOBS))
def on_job(event: Event, platform: Any) -> None:
    if event.new == event.old or event.new not in JOBS[event.kind].ended:
        return
    arn = platform.store.tags(event.arn).get(EXECUTION_TAG)
    execution = platform.store.by_arn(arn) if arn else None
    if execution is not None and execution.kind == EXECUTION.kind:
        platform.wake(execution.uid)
