"""The walk of a training job: image → a place (jobs/admission.py) → inputs → run → outputs → the end. `decide` is pure.

Where each phase stands is looked up each time (the image store, the tasks of this engine, the run's shim), so an
engine that died anywhere is continued by the next one: a copy of inputs begins again, a run that is going on is
found again, an upload is repeated with the same keys.

A managed spot job goes round: an interruption (spot.py) leads from the run to `reclaim`, where its checkpoints are saved, and back
to the wait for a place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.kernel.reconcile import Step
from modelyard.kernel.records import Record
from modelyard.kernel.tasks import ABSENT, TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.images import look_at_image
from modelyard.services.sagemaker.jobs.admission import Place
from modelyard.services.sagemaker.jobs.failures import LOST, MOST_ATTEMPTS, NO_DISK, OUT_OF_MEMORY, no_image, reason_of
from modelyard.services.sagemaker.training_job import run as job_run
from modelyard.services.sagemaker.training_job.actions import (
    BuildImage,
    CleanUp,
    CollectOutputs,
    FetchInputs,
    FollowLog,
    GiveNotice,
    KeepWarm,
    LeavePlace,
    SaveFolders,
    StartRun,
    StopRun,
    SyncFolders,
    progress_of,
)
from modelyard.services.sagemaker.training_job.hosts import hosts_of, together
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE, NO_ROOM, REUSED, WARM, moved
from modelyard.services.sagemaker.training_job.outputs import failure_text
from modelyard.services.sagemaker.training_job.spot import (
    NOTICE_SECONDS,
    Market,
    instance_at,
    is_interrupted,
    is_spot,
    left_to_wait_s,
    market_for,
    notice,
    waited_s,
    waits_less_than_it_runs,
)
from modelyard.services.sagemaker.training_job.warm import keep_alive_s, taken_by, until

NO_MARKET = Market()
LOOK_SECONDS, LOOK_SECONDS_YOUNG, YOUNG_SECONDS, TAKEN_LOOKS_SECONDS = 0.25, 0.03, 10.0, 1.0
CUSTOMER_ERROR = 2
"""How AWS's built-in algorithms end when the user has to change something; their failure text begins with ClientError."""
PEER_GRACE_SECONDS = 10.0
"""What the other hosts get to end when one has failed."""
FINAL = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class Seen:
    """`image` is unknown, absent, building, ready or failed; `place` what admission.py says; `run` what the
    runs of all hosts say together, `failing` that one of them has failed and others still run; `failure` is the text a failed
    run left; `market` the spot market as it is now; `saved` the last upload of the checkpoints of interrupted instances."""

    image: str = "ready"
    image_reason: str = ""
    place: Place = Place(True)
    inputs: TaskState = ABSENT
    progress: str | None = None
    start: TaskState = ABSENT
    run: RunState = RunState("absent")
    failing: bool = False
    outputs: TaskState = ABSENT
    failure: str = ""
    run_age_s: float = 0.0
    ran_s: float = 0.0
    market: Market = NO_MARKET
    saved: TaskState = ABSENT
    taken_by: str | None = None


def observe(job: Record, world: Any) -> Seen:
    phase = job.state.get("phase", "image")
    if job.status in FINAL:
        return Seen(taken_by=taken_by(job, world) if job.state.get("warm") == "Available" else None)
    if phase == "image":
        verb = "" if job.spec["AlgorithmSpecification"].get("ContainerEntrypoint") else "train"
        image, why = look_at_image(world, job_run.image_uri(job, world), verb)
        market, now = market_for(job, world), world.clock.now()
        wants_place = image == "ready" and not job.spec.get("stop") and (not is_spot(job.spec) or instance_at(job, market, now) <= now)
        return Seen(image, why, job_run.place(job, world) if wants_place else Place(False), market=market)
    if phase == "inputs":
        key = job_run.task_key(job, "inputs")
        return Seen(inputs=world.tasks.look(key), progress=progress_of(key), market=market_for(job, world))
    if phase == "reclaim":
        return Seen(saved=world.tasks.look(job_run.task_key(job, "saved")))
    found = together([world.runtime.look(run_id) for run_id in job_run.run_ids(job)])
    run, failure = found.run, ""
    if run.state == "exited" and run.exit_code:
        host = hosts_of(job.spec)[found.host - 1]
        failure = failure_text(job_run.ml_folder(job, world, host=host), job_run.log_file(job, world, host))
    start, outputs = (world.tasks.look(job_run.task_key(job, part)) for part in ("start", "outputs"))
    age, ran = job_run.age_s(run), job_run.ran_s(run)
    return Seen(
        start=start,
        run=run,
        failing=found.failing,
        outputs=outputs,
        failure=failure,
        run_age_s=age,
        ran_s=ran,
        market=market_for(job, world),
    )


@api.reconciler(LIFECYCLE, observe)
def decide(job: Record, seen: Seen, now: float) -> Step:
    if job.status in FINAL:
        return _warm(job, seen, now) if job.state.get("warm") == "Available" else Step(job.status, do=[CleanUp(job)])
    phases = {"image": _image, "inputs": _inputs, "run": _run, "reclaim": _reclaim, "outputs": _outputs}
    return phases[job.state.get("phase", "image")](job, seen, now)


def _image(job: Record, seen: Seen, now: float) -> Step:
    if job.spec.get("stop"):
        return _end(job, "Stopped", now)
    if reason := no_image(seen.image, seen.image_reason):
        return _end(job, "Failed", now, reason)
    if seen.image != "ready":
        return Step(job.status, moved(job.state, "Starting", now), do=[BuildImage(job)], wake_in_real_s=LOOK_SECONDS)
    if not seen.place:
        return _wait(job, seen, now)
    attempt = job.state.get("attempt", 0) + 1
    state = {"phase": "inputs", "attempt": attempt, "held_from": now, "waited_s": waited_s(job, now), "waiting_from": None}
    state |= {"started_at": job.state.get("started_at", now), **moved(job.state, "Downloading", now)}
    if seen.place.took:
        reused = moved(job.state, "Starting", now, REUSED)
        state |= {"took": seen.place.took, **moved({**job.state, **reused}, "Downloading", now)}
    if is_spot(job.spec):
        state["discount"] = seen.market.discount
    return Step(job.status, state, do=[FetchInputs(job, attempt, seen.place.took)], wake_in_real_s=LOOK_SECONDS_YOUNG)


def _warm(job: Record, seen: Seen, now: float) -> Step:
    """The job has ended; its instances wait for the next one like it."""
    if seen.taken_by:
        state = {"warm": "Reused", "warm_by": seen.taken_by, "warm_ended_at": now}
        return Step(job.status, {**state, **moved(job.state, job.status, now, WARM["Reused"].format(by=seen.taken_by))}, do=[CleanUp(job)])
    if seen.taken_by is None and now >= until(job):
        state = {"warm": "Terminated", "warm_ended_at": now}
        return Step(job.status, {**state, **moved(job.state, job.status, now, WARM["Terminated"])}, do=[CleanUp(job)])
    if seen.taken_by == "":  # it is woken when the taker has what it took, and looks in case that was missed
        return Step(job.status, wake_in_real_s=TAKEN_LOOKS_SECONDS)
    return Step(job.status, moved(job.state, job.status, now, WARM["Available"]), do=[CleanUp(job, warm=True)], wake_at=until(job))


def _wait(job: Record, seen: Seen, now: float) -> Step:
    """For a place on this machine, or for spot capacity: then the place is others' meanwhile."""
    left = left_to_wait_s(job, now) if is_spot(job.spec) else None
    if left is not None and left <= 0:
        return _end(job, "Stopped", now, secondary="MaxWaitTimeExceeded")
    state = {"waiting_from": job.state.get("waiting_from", now), **moved(job.state, "Starting", now, NO_ROOM)}
    capacity = instance_at(job, seen.market, now) if is_spot(job.spec) else now
    if left is None:
        return Step(job.status, state, wake_in_real_s=seen.place.look_in_real_s)
    if capacity > now:
        return Step(job.status, state, do=[LeavePlace(job)], wake_at=min(capacity, now + left))
    return Step(job.status, state, wake_at=now + left, wake_in_real_s=seen.place.look_in_real_s)


def _inputs(job: Record, seen: Seen, now: float) -> Step:
    if job.spec.get("stop"):
        return _end(job, "Stopped", now)
    if is_interrupted(job, seen.market, len(hosts_of(job.spec)), now):
        return _interrupted(job, 0.0, now)
    if seen.inputs.state == "failed":
        return _end(job, "Failed", now, reason_of(seen.inputs.error))
    if seen.inputs.state == "done":
        return Step(
            job.status, {"phase": "run", **moved(job.state, "Training", now)}, do=[StartRun(job)], wake_in_real_s=LOOK_SECONDS_YOUNG
        )
    again = [FetchInputs(job, job.state["attempt"], job.state.get("took"))] if seen.inputs.state == "absent" else []
    told = moved(job.state, "Downloading", now, seen.progress) if seen.progress else None
    return Step(job.status, told, do=again, wake_in_real_s=LOOK_SECONDS if told else LOOK_SECONDS_YOUNG)


def _run(job: Record, seen: Seen, now: float) -> Step:
    run, stop = seen.run, job.spec.get("stop", False)
    noticed = job.state.get("noticed") == job.state["attempt"]
    if noticed and not stop and (run.state == "absent" or (run.state == "exited" and run.ended_by == "stop")):
        return _interrupted(job, seen.ran_s, now)
    if run.state == "exited":
        outcome, secondary, reason = _outcome(run, seen.failure, stop)
        if secondary == "MaxRuntimeExceeded" and is_spot(job.spec) and waits_less_than_it_runs(job):
            secondary = "MaxWaitTimeExceeded"
        state = {"phase": "outputs", "outcome": outcome, "last": secondary, "reason": reason, **moved(job.state, "Uploading", now)}
        return Step(job.status, state, do=[CollectOutputs(job, outcome != "Failed")], wake_in_real_s=LOOK_SECONDS_YOUNG)
    if run.state == "lost":
        return _lost(job, seen, now, stop)
    if run.state == "absent" and seen.start.state == "failed":
        return _end(job, "Failed", now, reason_of(seen.start.error))
    if seen.failing:
        return Step(job.status, do=[StopRun(job, PEER_GRACE_SECONDS), FollowLog(job)], wake_in_real_s=LOOK_SECONDS_YOUNG)
    if stop and job.status == "InProgress":
        return Step("Stopping", moved(job.state, "Stopping", now), do=[StopRun(job)], wake_in_real_s=LOOK_SECONDS_YOUNG)
    if stop and run.state == "absent":
        return _end(job, "Stopped", now)
    if not noticed and not stop and is_interrupted(job, seen.market, len(hosts_of(job.spec)), now):
        state = {"noticed": job.state["attempt"], "interruptions": job.state.get("interruptions", 0) + 1}
        return Step(job.status, state, do=[GiveNotice(job)], detail=notice(now), wake_in_real_s=LOOK_SECONDS_YOUNG)
    act: list[Any] = [StopRun(job)] if stop else [StartRun(job)] if run.state == "absent" else [FollowLog(job), SyncFolders(job)]
    if noticed and not stop:
        act = [StopRun(job, NOTICE_SECONDS), FollowLog(job), SyncFolders(job)]
    return Step(job.status, do=act, wake_in_real_s=LOOK_SECONDS_YOUNG if seen.run_age_s < YOUNG_SECONDS else LOOK_SECONDS)


def _interrupted(job: Record, ran_s: float, now: float) -> Step:
    """The instances are gone: what the payload left in its checkpoints is saved, then the job waits for new ones."""
    state = {"phase": "reclaim", "interrupted_at": now, "ran_s": job.state.get("ran_s", 0.0) + ran_s, **_given_back(job, now)}
    # A look that started the runs may have been dropped: the wish to interrupt came before its write.
    act = [StopRun(job, 0.0), SaveFolders(job)]
    return Step(job.status, {**state, **moved(job.state, "Interrupted", now)}, do=act, wake_in_real_s=LOOK_SECONDS_YOUNG)


def _reclaim(job: Record, seen: Seen, now: float) -> Step:
    if seen.saved.state == "failed":
        return _end(job, "Failed", now, reason_of(seen.saved.error))
    if seen.saved.state != "done":
        return Step(job.status, do=[SaveFolders(job)] if seen.saved.state == "absent" else [], wake_in_real_s=LOOK_SECONDS_YOUNG)
    if job.spec.get("stop"):
        return _end(job, "Stopped", now)
    state = {"phase": "image", "waiting_from": now, **moved(job.state, "Starting", now)}
    return Step(job.status, state, do=[LeavePlace(job)], wake_at=now)


def _given_back(job: Record, now: float) -> dict[str, Any]:
    """The time in which the job held instances counts; the time in which it waits for them does not."""
    if "held_from" not in job.state:
        return {}
    return {"held_s": job.state.get("held_s", 0.0) + now - job.state["held_from"], "held_from": None}


def _lost(job: Record, seen: Seen, now: float, stop: bool) -> Step:
    """The instance is gone (its shim was killed, the machine restarted): as on AWS, the platform's fault, so it tries again."""
    attempt, losses = job.state["attempt"] + 1, job.state.get("losses", 0) + 1
    most = job.spec.get("RetryStrategy", {}).get("MaximumRetryAttempts", MOST_ATTEMPTS - 1)
    if stop:
        return _end(job, "Stopped", now)
    if losses > most:
        return _end(job, "Failed", now, LOST.format(times="once" if losses == 1 else f"{losses} times"))
    restarting = moved(job.state, "Restarting", now)
    state = {"phase": "inputs", "attempt": attempt, "losses": losses, "ran_s": job.state.get("ran_s", 0.0) + seen.ran_s}
    state |= moved({**job.state, **restarting}, "Downloading", now)
    return Step(job.status, state, do=[StopRun(job, 0.0), FetchInputs(job, attempt)], wake_in_real_s=LOOK_SECONDS_YOUNG)


def _outputs(job: Record, seen: Seen, now: float) -> Step:
    outcome = job.state["outcome"]
    if seen.outputs.state == "failed":
        return _end(job, "Failed", now, job.state.get("reason") or reason_of(seen.outputs.error))
    if seen.outputs.state == "done":
        return _end(job, outcome, now, job.state.get("reason"), job.state["last"], seen.outputs.result)
    again = [CollectOutputs(job, outcome != "Failed")] if seen.outputs.state == "absent" else []
    return Step(job.status, do=again, wake_in_real_s=LOOK_SECONDS_YOUNG)


def _outcome(run: RunState, failure: str, stop: bool) -> tuple[str, str, str | None]:
    """(status, secondary status, reason) of an ended run."""
    if run.ended_by == "max-runtime":
        return "Stopped", "MaxRuntimeExceeded", None
    if run.ended_by == "stop" or (stop and run.ended_by is None and run.exit_code != 0):
        return "Stopped", "Stopped", None
    if run.ended_by == "oom":
        return "Failed", "Failed", f"{OUT_OF_MEMORY}, exit code: 137"
    if run.ended_by == "disk":
        return "Failed", "Failed", NO_DISK
    if run.exit_code == 0:
        return "Completed", "Completed", None
    kind = "" if run.exit_code == CUSTOMER_ERROR and failure.startswith("ClientError: ") else "AlgorithmError: "
    return "Failed", "Failed", f"{kind}{failure}, exit code: {run.exit_code}"


def _end(
    job: Record, status: str, now: float, reason: str | None = None, secondary: str | None = None, left: dict[str, Any] | None = None
) -> Step:
    """The last step; once it is committed one more look cleans up."""
    state: dict[str, Any] = {
        "ended_at": now,
        "phase": "end",
        "waiting_from": None,
        **_given_back(job, now),
        **moved(job.state, secondary or status, now),
    }
    if "started_at" not in job.state:
        state["started_at"] = now
    if reason:
        state["reason"] = reason
    keeps = status == "Completed" and keep_alive_s(job.spec) > 0
    if keep_alive_s(job.spec):
        state["warm"] = "Available" if keeps else "Terminated"
    act = [KeepWarm(job)] if keeps else []
    return Step(status, {**state, **(left or {})}, do=act, wake_at=now, detail={"reason": reason} if reason else None)
