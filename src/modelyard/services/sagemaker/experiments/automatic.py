"""The trial component that every job gets by itself, and its place in an experiment: heard from the events of jobs.

`<job>-aws-training-job` and so on, made as soon as the job is there and brought up to date with each of its changes, so a repeated event
changes nothing. With an ExperimentConfig it joins the trial named there (or one made for the job), and a run gets the job among its sources.
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Event, Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.experiments import jobs
from modelyard.services.sagemaker.experiments.common import COMPONENT, EXPERIMENT, TRIAL

READER = "trial-components"


@api.reader(READER, kinds=set(jobs.KINDS))
def on_job(event: Event, platform: Any) -> None:
    job = platform.store.by_uid(event.uid)
    if job is None or event.revision < job.revision:
        return  # gone, or the event of its newest state is still to come
    component = ensure_component(platform, job)
    place(platform, job, component)
    if series := jobs.series(platform, job):
        platform.run_metrics.put_once(component.uid, [(name, None, at, value) for name, at, value in series])


def component_name(job: Record) -> str:
    return f"{job.name}-aws-{job.kind}"


def ensure_component(platform: Any, job: Record) -> Record:
    store, name = platform.store, component_name(job)
    spec = jobs.component_of(job)
    while True:
        there = store.get(COMPONENT.kind, job.account, job.region, name)
        if there is None:
            arn = f"arn:aws:sagemaker:{job.region}:{job.account}:{COMPONENT.kind}/{name.lower()}"
            try:
                there = store.create(COMPONENT, account=job.account, region=job.region, name=name, arn=arn, spec=spec)
            except Taken:
                continue
        patch = {member: value for member, value in spec.items() if member != "DisplayName" and there.spec.get(member) != value}
        try:
            there = store.request(there, patch, due=False) if patch else there
        except Moved:
            continue
        platform.experiment_links.come_from(job.arn, there.uid)
        return there


def place(platform: Any, job: Record, component: Record) -> None:
    """Into the trial of its ExperimentConfig. What was deleted meanwhile is passed over: the job runs on."""
    config = job.spec.get("ExperimentConfig") or {}
    trial = _trial(platform, job, config)
    if trial is not None:
        platform.experiment_links.join(trial.uid, component.uid)
    run = _named(platform, job, COMPONENT.kind, config.get("RunName"))
    if run is None:
        return
    source = {"SourceArn": job.arn, "SourceType": jobs.KINDS[job.kind].source_type}
    while source not in run.spec.get("Sources", []):
        try:
            run = platform.store.request(run, {"Sources": [*run.spec.get("Sources", []), source]}, due=False)
        except Moved:
            run = platform.store.by_uid(run.uid)
            if run is None:
                return
    platform.experiment_links.come_from(job.arn, run.uid)
    if trial is not None:
        platform.experiment_links.join(trial.uid, run.uid)


def _trial(platform: Any, job: Record, config: dict[str, Any]) -> Record | None:
    if config.get("TrialName"):
        return _named(platform, job, TRIAL.kind, config["TrialName"])
    experiment = _named(platform, job, EXPERIMENT.kind, config.get("ExperimentName"))
    if experiment is None:
        return None
    name = f"{job.name}-aws-trial"
    arn = f"arn:aws:sagemaker:{job.region}:{job.account}:{TRIAL.kind}/{name.lower()}"
    try:
        return platform.store.create(
            TRIAL,
            account=job.account,
            region=job.region,
            name=name,
            arn=arn,
            spec={"ExperimentName": experiment.name},
            owner=experiment.uid,
        )
    except Taken as taken:
        return taken.record


def _named(platform: Any, job: Record, kind: str, name: str | None) -> Record | None:
    if not name:
        return None
    record = platform.store.by_arn(f"arn:aws:sagemaker:{job.region}:{job.account}:{kind}/{name.lower()}")
    return record if record is not None and record.kind == kind else None


def check_config(call: Any, config: dict[str, Any] | None) -> None:
    """For create operations of jobs: what an ExperimentConfig names must be there. Raises ResourceNotFound."""
    for member, kind, noun in (("ExperimentName", EXPERIMENT.kind, "Experiment"), ("TrialName", TRIAL.kind, "Trial")):
        name = (config or {}).get(member)
        arn = f"arn:aws:sagemaker:{call.region}:{call.account}:{kind}/{(name or '').lower()}"
        if name and call.store.by_arn(arn) is None:
            raise not_found(f"{noun} '{arn}' does not exist.")


def not_found(message: str) -> ApiError:
    return api.error.ResourceNotFound(message)
