"""The wish to stop a job: noted in its record; the engine does the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved


def ask_to_stop(call: Any, lifecycle: Lifecycle, noun: str, find: Callable[[], Record]) -> None:
    """A second wish changes nothing and succeeds; a job that has ended is refused with ValidationException, as AWS does it.
    `find` looks the job up (it raises where there is none), again after each change by someone else."""
    while True:
        job = find()
        if lifecycle.is_final(job.status):
            raise validation(f"The request was rejected because the {noun} is in status {job.status}.")
        if job.spec.get("stop"):
            return
        try:
            call.store.request(job, {"stop": True}, detail={"wish": "stop"})
        except Moved:
            continue
        call.platform.ring(lifecycle.kind)
        return
