"""An execution goes on by one change at a time: a step's next status, or its own. `decide` is pure.

A change and its event are one commit, so readers miss none. Steps begin in tasks (starting.py), whose answers are data; a task that a crash
took is asked again and finds what it made. Jobs are looked at by their records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.reconcile import Step as Move
from modelyard.kernel.records import Record
from modelyard.kernel.tasks import ABSENT, TaskState
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.jobs.failures import CHARACTERS, reason_of
from modelyard.services.sagemaker.pipeline import children, events, plan, retries, starting
from modelyard.services.sagemaker.pipeline.actions import Begin, Forget, Prepare, Remember, StopJob, TellStopping, prepare_key, start_key
from modelyard.services.sagemaker.pipeline.definition import Definition, Step, read
from modelyard.services.sagemaker.pipeline.lifecycle import EXECUTION, FINAL, RUNNING

STEP_FAILURE = "Step failure: One or multiple steps failed."
DELETED = "ClientError: The pipeline was deleted."
GONE = "ClientError: What the step made was deleted before it had ended."
MOST_STEPS = 10_000
PACKAGE_SECONDS = 0.5
"""A model package that is being validated has no tags to wake by: it is looked at."""


@dataclass(frozen=True)
class Child:
    """`state` is running, succeeded, failed, stopped or gone."""

    state: str
    reason: str = ""
    stopping: bool = False


@dataclass(frozen=True)
class Seen:
    """By step: how its start went, its job, the answer to its callback. `made` has the ARNs of jobs of starts that nobody remembers, where
    they are asked for: when the execution is to end."""

    definition: Definition | None = None
    starts: Mapping[str, TaskState] = field(default_factory=dict)
    made: Mapping[str, str] = field(default_factory=dict)
    children: Mapping[str, Child] = field(default_factory=dict)
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prepared: TaskState = ABSENT


def observe(execution: Record, world: Any) -> Seen:
    if execution.status in FINAL and not _is_wanted_again(execution):
        return Seen()
    version = world.store.by_uid(execution.spec["version"])
    if version is None:
        return Seen()
    definition = read(version.spec["definition"])
    starts, jobs, answers, made = {}, {}, {}, {}
    for name, state in execution.state.get("steps", {}).items():
        if state["status"] == "Starting":
            starts[name] = world.tasks.look(start_key(execution, name, state["launch"]))
            if starts[name].state == "absent" and (job := starting.made(world.store, execution, definition.steps[name], state["launch"])):
                made[name] = job
        elif state["status"] in RUNNING and state.get("token"):
            callback = world.store.get("pipeline-callback", execution.account, execution.region, state["token"])
            if callback is not None and "answer" in callback.spec:
                answers[name] = callback.spec["answer"]
        elif state["status"] in RUNNING:
            jobs[name] = _child(world.store, definition.steps[name], state)
    return Seen(definition, starts, made, jobs, answers, world.tasks.look(prepare_key(execution)))


def _child(store: Any, step: Step, state: Mapping[str, Any]) -> Child:
    kind, record = children.KINDS[step.type], store.by_arn(state["arn"])
    if record is None:
        return Child("gone", GONE)
    stopping = bool(record.spec.get("stop")) or not kind.stops
    if record.status in kind.succeeded:
        return Child("succeeded")
    if record.status not in kind.ended:
        return Child("running", stopping=stopping)
    return Child("stopped" if record.status == "Stopped" else "failed", record.state.get("reason", ""))


@api.reconciler(EXECUTION, observe)
def decide(execution: Record, seen: Seen, now: float) -> Move:
    spec, state = execution.spec, execution.state
    if execution.status in FINAL:
        return _again(execution, now) if _is_wanted_again(execution) else Move(execution.status)
    if spec.get("stop") and execution.status == "Executing":
        return _to(execution, "Stopping", {}, now)
    if spec.get("experiment") and not state.get("prepared"):
        return _prepare(execution, seen, now)
    if seen.definition is None:  # started while the pipeline was being deleted
        return _to(execution, "Failed", {"ended_at": now, "reason": DELETED}, now)
    steps: Mapping[str, Any] = state.get("steps", {})
    failed = [name for name, one in steps.items() if one["status"] == "Failed"]
    ending = bool(spec.get("stop")) or any(seen.definition.steps[name].type == "Fail" for name in failed)
    running = [seen.definition.steps[name] for name, one in steps.items() if one["status"] in RUNNING]
    looks = []
    for step in sorted(running, key=lambda one: one.place):
        look = _look(execution, step, steps[step.name], seen, ending, now)
        if look.patch is not None:
            return _changed(execution, step, look.patch, look.do, now)
        looks.append(look)
    if not ending and len(running) < (spec.get("parallelism") or {}).get("MaxParallelExecutionSteps", MOST_STEPS):
        for step in plan.ready(seen.definition, steps, spec.get("only")):
            launch = state.get("launches", {}).get(step.name, 0) + 1
            return _changed(execution, step, {"status": "Starting", "start": now, "attempt": 1, "launch": launch}, [], now)
    if not running:
        return _end(execution, seen.definition, failed, now)
    pauses = [look.pause for look in looks if look.pause is not None]
    wakes = [look.wake_at for look in looks if look.wake_at is not None]
    do = [action for look in looks for action in look.do]
    return Move(execution.status, do=do, wake_at=min(wakes, default=None), wake_in_real_s=min(pauses, default=None))


# --- one step ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """`patch` is what changes of the step (None: nothing); `do` what is done for it in either case."""

    patch: dict[str, Any] | None = None
    do: tuple[Any, ...] = ()
    wake_at: float | None = None
    pause: float | None = None


def _look(execution: Record, step: Step, state: Mapping[str, Any], seen: Seen, ending: bool, now: float) -> Look:
    if state["status"] == "Starting":
        return _look_at_start(execution, step, state, seen, ending, now)
    if state.get("token"):
        return _look_at_callback(execution, step, state, seen, ending, now)
    child = seen.children[step.name]
    if child.state == "running":
        if ending and state["status"] == "Executing":
            return Look({"status": "Stopping"}, (StopJob(state["arn"]),))
        stop = (StopJob(state["arn"]),) if ending and not child.stopping else ()
        return Look(do=stop, pause=PACKAGE_SECONDS if step.type == "RegisterModel" else None)
    if child.state == "succeeded":
        return _succeeded(execution, step, {**state, "end": now})
    if child.state == "stopped":
        if ending:
            return Look({"status": "Stopped", "end": now})
        return Look({"status": "Failed", "end": now, "reason": "ClientError: The job of the step was stopped before it had ended."})
    if child.state == "gone":
        return Look({"status": "Failed", "end": now, "reason": child.reason})
    kind = retries.type_of_reason(child.reason, step.type)
    return _failed(
        execution, step, state, f"ClientError: {child.reason}" if child.reason else "ClientError: The job failed.", kind, ending, now
    )


def _look_at_start(execution: Record, step: Step, state: Mapping[str, Any], seen: Seen, ending: bool, now: float) -> Look:
    start = seen.starts.get(step.name, ABSENT)
    if start.state == "absent":
        if ending and step.name in seen.made:  # begun by someone who was killed: stopped like any other
            arn = seen.made[step.name]
            return Look({"status": "Executing", "arn": arn, "metadata": {children.KINDS[step.type].metadata: {"Arn": arn}}})
        if ending:
            return Look({"status": "Stopped", "end": now})
        if state.get("retry_at", 0.0) > now:
            return Look(wake_at=state["retry_at"])
        return Look(do=(Begin(execution, step.name, state["launch"]),))
    if start.state == "running":
        return Look()
    done = (Forget(start_key(execution, step.name, state["launch"])),)
    result = start.result if start.state == "done" else {"failed": reason_of(start.error), "type": retries.FAULT}
    if "failed" in result:
        look = _failed(execution, step, state, result["failed"], result.get("type"), ending, now)
        return Look(look.patch, (*done, *look.do))
    patch = {key: value for key, value in result.items() if value is not None}
    return Look(patch if patch["status"] == "Executing" else {**patch, "end": now}, done)


def _look_at_callback(execution: Record, step: Step, state: Mapping[str, Any], seen: Seen, ending: bool, now: float) -> Look:
    answer = seen.answers.get(step.name)
    if answer is None:
        if ending and state["status"] == "Executing":  # the queue is told, and only an answer ends the step
            return Look({"status": "Stopping"}, (TellStopping(execution, state["token"], state["metadata"]["Callback"]["SqsQueueUrl"]),))
        return Look()
    if ending:
        return Look({"status": "Stopped", "end": now})
    if "failure" in answer:
        return Look({"status": "Failed", "end": now, "reason": answer["failure"] or "ClientError: The callback step failed."})
    callback = state["metadata"]["Callback"] | ({"OutputParameters": answer["outputs"]} if answer["outputs"] else {})
    return _succeeded(execution, step, {**state, "end": now, "metadata": {"Callback": callback}})


def _succeeded(execution: Record, step: Step, state: dict[str, Any]) -> Look:
    patch = {"status": "Succeeded", "end": state["end"], "metadata": state["metadata"]}
    if not state.get("digest"):
        return Look(patch)
    result = {"execution": execution.arn, "arn": state.get("arn"), "metadata": state["metadata"], "at": state["end"]}
    return Look(patch, (Remember(execution, step, state["digest"], result),))


def _failed(execution: Record, step: Step, state: Mapping[str, Any], reason: str, kind: str | None, ending: bool, now: float) -> Look:
    used = dict(state.get("retried", {}))
    retry = None if ending else retries.again(step, kind, used, state["start"], now)
    if retry is None:
        told = reason[:CHARACTERS] + retries.last_word(step, kind, execution.arn)
        return Look({"status": "Failed", "end": now, "reason": told[:CHARACTERS]})
    used[str(retry.policy)] = used.get(str(retry.policy), 0) + 1
    again = {"status": "Starting", "attempt": state["attempt"] + 1, "launch": state["launch"] + 1, "retry_at": retry.at, "retried": used}
    return Look({**again, "arn": None, "metadata": None, "digest": None})


# --- the execution -----------------------------------------------------------------------------------


def _changed(execution: Record, step: Step, patch: Mapping[str, Any], do: Any, now: float) -> Move:
    """A step's change, committed with its event; looked at again at once."""
    old = execution.state.get("steps", {}).get(step.name, {})
    new = {key: value for key, value in {**old, **patch}.items() if value is not None}
    state: dict[str, Any] = {"steps": {**execution.state.get("steps", {}), step.name: new}}
    if "launch" in patch:
        state["launches"] = {**execution.state.get("launches", {}), step.name: patch["launch"]}
    told = {"step": step.name}
    if new["status"] != old.get("status"):
        told["eventbridge"] = events.step_change(execution, step, old.get("status"), new)
    return Move(execution.status, state, do=list(do), wake_at=now, detail=told)


def _to(execution: Record, status: str, state: dict[str, Any], now: float) -> Move:
    told = {"eventbridge": events.execution_change(execution, execution.status, status, now)}
    return Move(status, state, wake_at=None if status in FINAL else now, detail=told)


def _end(execution: Record, definition: Definition | None, failed: list[str], now: float) -> Move:
    if execution.spec.get("stop"):
        return _to(execution, "Stopped", {"ended_at": now}, now)
    if not failed:
        return _to(execution, "Succeeded", {"ended_at": now}, now)
    if definition is not None and plan.are_handled(definition, execution.state["steps"], failed):
        return _to(execution, "CompletedWithFailures", {"ended_at": now, "reason": STEP_FAILURE}, now)
    return _to(execution, "Failed", {"ended_at": now, "reason": STEP_FAILURE}, now)


def _prepare(execution: Record, seen: Seen, now: float) -> Move:
    prepared = seen.prepared
    if execution.spec.get("stop"):
        return _end(execution, None, [], now)
    if prepared.state == "absent":
        return Move(execution.status, do=[Prepare(execution)])
    if prepared.state == "running":
        return Move(execution.status)
    reason = reason_of(prepared.error) if prepared.state == "failed" else prepared.result.get("failed")
    if reason:
        return _to(execution, "Failed", {"ended_at": now, "reason": reason[:CHARACTERS]}, now)
    return Move(execution.status, {"prepared": True}, do=[Forget(prepare_key(execution))], wake_at=now)


def _is_wanted_again(execution: Record) -> bool:
    return execution.spec.get("retries", 0) > execution.state.get("retries", 0)


def _again(execution: Record, now: float) -> Move:
    """RetryPipelineExecution: what succeeded stays, all else is done again."""
    kept = {name: one for name, one in execution.state.get("steps", {}).items() if one["status"] == "Succeeded"}
    return _to(execution, "Executing", {"steps": kept, "retries": execution.spec["retries"], "reason": None, "ended_at": None}, now)
