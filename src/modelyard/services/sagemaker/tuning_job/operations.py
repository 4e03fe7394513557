"""Create, describe, list, stop, delete, and the training jobs of a tuning job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import PAGE, arn_of, list_page, tags_of
from modelyard.services.sagemaker.jobs.stopping import ask_to_stop
from modelyard.services.sagemaker.training_job.operations import check_definition
from modelyard.services.sagemaker.tuning_job.autotune import filled
from modelyard.services.sagemaker.tuning_job.checks import check, check_parents
from modelyard.services.sagemaker.tuning_job.completion import not_improving
from modelyard.services.sagemaker.tuning_job.definitions import all_kinds, completed, given, objective_of, training_request
from modelyard.services.sagemaker.tuning_job.lifecycle import FINAL, LIFECYCLE
from modelyard.services.sagemaker.tuning_job.trials import Trial, best_of, counters, summary, trials_of
from modelyard.services.sagemaker.tuning_job.warm_start import is_identical, parents_of

MOST_NAME = "x" * 45
ARN_KIND = "hyper-parameter-tuning-job"


@api.operation
def create_hyper_parameter_tuning_job(call, request):
    config, definitions = filled(request, given(request))
    check(config, definitions, request)
    name = request["HyperParameterTuningJobName"]
    arn = arn_of(call, ARN_KIND, name)
    if call.store.by_arn(arn):  # without regard to case, as ARNs are
        raise _taken(arn)
    if "WarmStartConfig" in request:
        asked = request["WarmStartConfig"]["ParentHyperParameterTuningJobs"]
        parents = [call.store.get(LIFECYCLE.kind, call.account, call.region, p.get("HyperParameterTuningJobName", "")) for p in asked]
        check_parents({**request, "HyperParameterTuningJobConfig": config}, definitions, parents, FINAL)
    full = [completed(definition, objective_of(config, definition)) for definition in definitions]
    for definition in full:
        check_definition(call, training_request(definition, MOST_NAME, {}))
    if "ParameterRanges" in config:
        config["ParameterRanges"] = all_kinds(config["ParameterRanges"])
    spec = {
        "HyperParameterTuningJobConfig": config,
        "definitions": full,
        "several": "TrainingJobDefinitions" in request,
        "tags": tags_of(request),
        **{member: request[member] for member in ("WarmStartConfig", "Autotune") if member in request},
    }
    try:
        job = call.store.create(
            LIFECYCLE, account=call.account, region=call.region, name=name, arn=arn, spec=spec, state={"version": 1}, tags=spec["tags"]
        )
    except Taken:
        raise _taken(arn) from None
    call.platform.ring(LIFECYCLE.kind)
    return {"HyperParameterTuningJobArn": job.arn}


@api.operation
def describe_hyper_parameter_tuning_job(call, request):
    job = _the_job(call, request["HyperParameterTuningJobName"])
    if job.status not in FINAL:
        call.hold(job)
    return describe(call.store, job)


@api.operation
def list_hyper_parameter_tuning_jobs(call, request):
    jobs, more = list_page(call, LIFECYCLE.kind, request, default_sort="Name", default_order="Ascending")
    return {"HyperParameterTuningJobSummaries": [_summary(call.store, job) for job in jobs], **more}


@api.operation
def list_training_jobs_for_hyper_parameter_tuning_job(call, request):
    job = _the_job(call, request["HyperParameterTuningJobName"])
    trials = trials_of(call.store, job)
    if wanted := request.get("StatusEquals"):
        trials = [trial for trial in trials if trial.status == wanted]
    trials = _sorted(trials, request.get("SortBy", "Name"), request.get("SortOrder", "Ascending") == "Descending")
    asked = [request["HyperParameterTuningJobName"], *(request.get(m, "") for m in ("StatusEquals", "SortBy", "SortOrder"))]
    token = decode_token(request.get("NextToken"), validation, [0, ["", "", "", ""]])
    if token is not None and token[1] != asked:
        raise validation("The pagination token is invalid: it belongs to another request.")
    start, size = token[0] if token else 0, request.get("MaxResults", PAGE)
    answer: dict[str, Any] = {"TrainingJobSummaries": [summary(trial) for trial in trials[start : start + size]]}
    if start + size < len(trials):
        answer["NextToken"] = encode_token([start + size, asked])
    return answer


@api.operation
def stop_hyper_parameter_tuning_job(call, request):
    ask_to_stop(call, LIFECYCLE, "hyperparameter tuning job", lambda: _the_job(call, request["HyperParameterTuningJobName"]))
    return {}


@api.operation
def delete_hyper_parameter_tuning_job(call, request):
    """The entry goes; its training jobs and what they made stay."""
    while True:
        job = _the_job(call, request["HyperParameterTuningJobName"])
        if job.status not in FINAL:
            raise validation(f"The request was rejected because the hyperparameter tuning job is in status {job.status}. Stop it first.")
        try:
            call.store.delete(job)
        except Moved:
            continue
        return {}


# --- shapes ----------------------------------------------------------------------------------------


def describe(store: Any, job: Record) -> dict[str, Any]:
    spec, state = job.spec, job.state
    trials = trials_of(store, job)
    said = {**_summary(store, job, trials), "HyperParameterTuningJobConfig": spec["HyperParameterTuningJobConfig"]}
    for member in ("Strategy", "ResourceLimits"):
        said.pop(member)
    said["TrainingJobDefinitions" if spec["several"] else "TrainingJobDefinition"] = (
        spec["definitions"] if spec["several"] else spec["definitions"][0]
    )
    said.update({member: spec[member] for member in ("WarmStartConfig", "Autotune") if member in spec})
    best = best_of(trials)
    if best is not None:
        said["BestTrainingJob"] = summary(best)
    if is_identical(spec):
        overall = best_of([*trials, *(trial for parent in parents_of(store, job) for trial in parent)])
        if overall is not None:
            said["OverallBestTrainingJob"] = summary(overall)
    details: dict[str, Any] = {"NumberOfTrainingJobsObjectiveNotImproving": not_improving(trials)}
    if "converged_at" in state:
        details["ConvergenceDetectedTime"] = state["converged_at"]
    said["TuningJobCompletionDetails"] = details
    ended = state.get("ended_at", store.clock.now())
    said["ConsumedResources"] = {"RuntimeInSeconds": max(0, round(ended - job.created_at))}
    if "reason" in state:
        said["FailureReason"] = state["reason"]
    return said


def _summary(store: Any, job: Record, trials: Sequence[Trial] | None = None) -> dict[str, Any]:
    config = job.spec["HyperParameterTuningJobConfig"]
    by_status, by_objective = counters(trials_of(store, job) if trials is None else trials)
    said = {
        "HyperParameterTuningJobName": job.name,
        "HyperParameterTuningJobArn": job.arn,
        "HyperParameterTuningJobStatus": job.status,
        "Strategy": config["Strategy"],
        "ResourceLimits": config["ResourceLimits"],
        "CreationTime": job.created_at,
        "LastModifiedTime": job.updated_at,
        "TrainingJobStatusCounters": by_status,
        "ObjectiveStatusCounters": by_objective,
    }
    if "ended_at" in job.state:
        said["HyperParameterTuningEndTime"] = job.state["ended_at"]
    return said


def _sorted(trials: list[Trial], by: str, descending: bool) -> list[Trial]:
    """Trials without an objective are not listed where the objective sorts, as AWS says."""
    if by == "FinalObjectiveMetricValue":
        known = [trial for trial in trials if trial.value is not None and trial.status != "Failed"]
        return sorted(known, key=lambda trial: (trial.value, trial.name), reverse=descending)
    keys = {"Name": lambda t: t.name, "CreationTime": lambda t: (t.created, t.number), "Status": lambda t: (t.status, t.name)}
    return sorted(trials, key=keys[by], reverse=descending)


def _the_job(call: Any, name: str) -> Record:
    job = call.store.get(LIFECYCLE.kind, call.account, call.region, name) or call.store.by_arn(arn_of(call, ARN_KIND, name))
    if job is None:
        raise api.error.ResourceNotFound(f"Amazon SageMaker can't find a tuning job called {name}. Type another name.")
    return job


def _taken(arn: str) -> Exception:
    return api.error.ResourceInUse(
        f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"
    )
