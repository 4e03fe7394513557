"""What an execution's reconciler does: ensure-shaped, done before the write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.sagemaker.pipeline import caching, children, starting
from modelyard.services.sagemaker.pipeline.definition import Step, read


def start_key(execution: Record, step: str, launch: int) -> str:
    return f"{execution.uid}-step-{step}-{launch}"


def prepare_key(execution: Record) -> str:
    return f"{execution.uid}-prepare"


@dataclass(frozen=True)
class Prepare:
    execution: Record

    def perform(self, world: Any) -> None:
        execution = self.execution
        world.tasks.ensure(prepare_key(execution), lambda: starting.prepare(world, execution), lambda: world.wake(execution.uid))


@dataclass(frozen=True)
class Begin:
    execution: Record
    step: str
    launch: int

    def perform(self, world: Any) -> None:
        execution = self.execution
        definition = read(world.store.by_uid(execution.spec["version"]).spec["definition"])
        step = definition.steps[self.step]
        work = lambda: starting.begin(world, execution, definition, step, self.launch)  # noqa: E731
        world.tasks.ensure(start_key(execution, self.step, self.launch), work, lambda: world.wake(execution.uid))


@dataclass(frozen=True)
class Forget:
    key: str

    def perform(self, world: Any) -> None:
        world.tasks.forget(self.key)


@dataclass(frozen=True)
class StopJob:
    arn: str

    def perform(self, world: Any) -> None:
        job = world.store.by_arn(self.arn)
        kind = next((k for k in children.KINDS.values() if job is not None and k.kind == job.kind), None)
        if job is None or kind is None or not kind.stops or job.spec.get("stop") or job.status in kind.ended:
            return
        try:
            world.store.request(job, {"stop": True}, detail={"wish": "stop"})
        except Moved:
            return self.perform(world)
        world.ring(job.kind)


@dataclass(frozen=True)
class TellStopping:
    execution: Record
    token: str
    queue: str

    def perform(self, world: Any) -> None:
        session = starting.session_of(world, self.execution, "")
        try:
            starting.send(session, self.execution, self.queue, self.token, "Stopping", {})
        except starting.Refused:
            return  # the queue is gone or closed; the step waits for its answer as it did


@dataclass(frozen=True)
class Remember:
    execution: Record
    step: Step
    digest: str
    result: dict[str, Any]

    def perform(self, world: Any) -> None:
        caching.remember(world.store, self.execution, self.step, self.digest, self.result)
