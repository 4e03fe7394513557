"""Create, start, stop, update, delete, describe, list. They write wishes; the walk is in decide.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, list_page, tags_of
from modelyard.services.sagemaker.inference_experiment import checks
from modelyard.services.sagemaker.inference_experiment import describe as told
from modelyard.services.sagemaker.inference_experiment.lifecycle import EXPERIMENT, FINAL, status_of
from modelyard.services.sagemaker.inference_experiment.reconcile import UNFINISHED, endpoint_of

ON_THE_WAY = ("Creating", "Updating", "Starting", "Stopping")


@api.operation
def create_inference_experiment(call, request):
    name, arn = request["Name"], arn_of(call, "inference-experiment", request["Name"])
    if call.store.by_arn(arn):
        raise _taken(name)
    call.platform.identity.check_pass_role(call, request["RoleArn"])
    spec = _spec(call, request)
    for other in call.store.list(EXPERIMENT.kind, call.account, call.region, status=UNFINISHED):
        if other.spec["endpoint_arn"] == spec["endpoint_arn"]:
            raise api.error.ResourceInUse(f"Endpoint {spec['endpoint']} has an inference experiment that has not ended yet: {other.name}.")
    try:
        call.store.create(EXPERIMENT, account=call.account, region=call.region, name=name, arn=arn, spec=spec, tags=tags_of(request))
    except Taken:
        raise _taken(name) from None
    call.platform.ring(EXPERIMENT.kind)
    return {"InferenceExperimentArn": arn}


@api.operation
def start_inference_experiment(call, request):
    """Before its time. Where that makes it longer than 30 days it ends 30 days from now."""

    def wish(experiment: Record) -> dict[str, Any]:
        return {"start": True, "end_at": min(experiment.spec["end_at"], call.now() + checks.LONGEST_SECONDS)}

    return _wish(call, request["Name"], wish, ("Created",), "start")


@api.operation
def stop_inference_experiment(call, request):
    def wish(experiment: Record) -> dict[str, Any]:
        spec = experiment.spec
        actions = checks.actions(request["ModelVariantActions"], spec["shadow"])
        stop = {
            "actions": actions,
            "variants": checks.desired(call, request.get("DesiredModelVariants", []), spec["variants"], actions),
            "state": request.get("DesiredState", "Cancelled"),
            "reason": request.get("Reason", ""),
        }
        return {"stop": stop}

    return _wish(call, request["Name"], wish, ("Created", "Running"), "stop")


@api.operation
def update_inference_experiment(call, request):
    return _wish(call, request["Name"], lambda experiment: _changes(call, experiment, request), ("Created", "Running"), "update")


@api.operation
def delete_inference_experiment(call, request):
    """Only what is remembered of an ended experiment: its endpoint stays as it is."""
    while True:
        experiment = the_experiment(call, request["Name"])
        if experiment.status not in FINAL:
            raise _conflict(experiment, "delete", FINAL)
        try:
            call.store.delete(experiment)
            return {"InferenceExperimentArn": experiment.arn}
        except Moved:
            continue


@api.operation
def describe_inference_experiment(call, request):
    experiment = the_experiment(call, request["Name"])
    if experiment.status in ON_THE_WAY:
        call.hold(experiment)
    return told.describe(experiment, endpoint_of(experiment, call.store))


@api.operation
def list_inference_experiments(call, request):
    """Type has one value, so it filters nothing."""
    asked = {member: value for member, value in request.items() if member != "Type"}
    experiments, more = list_page(call, EXPERIMENT.kind, asked)
    return {"InferenceExperiments": [told.summary(e) for e in experiments], **more}


def the_experiment(call: Any, name: str) -> Record:
    experiment = call.store.by_arn(arn_of(call, "inference-experiment", name))
    if experiment is None:
        raise api.error.ResourceNotFound(f"Could not find inference experiment {name}.")
    return experiment


# --- wishes ----------------------------------------------------------------------------------------


def _spec(call: Any, request: dict[str, Any]) -> dict[str, Any]:
    """What the walk needs to know of a request; see plan.py and decide.py."""
    shadow = checks.shadow_of(request["ShadowModeConfig"])
    endpoint_arn = arn_of(call, "endpoint", request["EndpointName"])
    endpoint = call.store.by_arn(endpoint_arn)
    before = checks.found_endpoint(call, endpoint, shadow) if endpoint else None
    checks.storage(request.get("DataStorageConfig"))
    spec = {
        "role": request["RoleArn"],
        "endpoint": endpoint.name if endpoint else request["EndpointName"],
        "endpoint_arn": endpoint_arn,
        "edition": 1,
        "shadow": shadow,
        "variants": checks.variants(call, checks.completed(request["ModelVariants"], before, shadow), shadow),
        "before": before,
        "description": request.get("Description"),
        "storage": request.get("DataStorageConfig"),
        "kms": request.get("KmsKey"),
        **checks.schedule(request.get("Schedule", {}), call.now(), call.now()),
    }
    return {key: value for key, value in spec.items() if value is not None}


def _changes(call: Any, experiment: Record, request: dict[str, Any]) -> dict[str, Any]:
    """What an update asks for that is new."""
    spec, now, running = experiment.spec, call.now(), "started_at" in experiment.state
    changes: dict[str, Any] = {}
    if "Description" in request:
        changes["description"] = request["Description"]
    if "Schedule" in request:
        changes |= _rescheduled(experiment, request["Schedule"], now, running)
    if "ShadowModeConfig" in request:
        changes["shadow"] = checks.shadow_of(request["ShadowModeConfig"])
        if changes["shadow"]["of"] != spec["shadow"]["of"]:
            raise validation(f"The source variant of the experiment is {spec['shadow']['of']}; it cannot be changed.")
    if "ModelVariants" in request:
        given = {v["VariantName"]: v for v in request["ModelVariants"]}
        kept = [v for v in spec["variants"] if v["VariantName"] not in given]
        shadow = changes.get("shadow", spec["shadow"])
        changes["variants"] = [v for v in kept if v["VariantName"] in (shadow["of"], shadow["name"])] + request["ModelVariants"]
    if "variants" in changes or "shadow" in changes:
        checks.variants(call, changes.get("variants", spec["variants"]), changes.get("shadow", spec["shadow"]))
    if "DataStorageConfig" in request:
        checks.storage(request["DataStorageConfig"])
        changes["storage"] = request["DataStorageConfig"]
    if _deployed({**spec, **changes}) == _deployed(spec):
        return changes
    if running:
        raise validation(
            "Once an experiment runs, only its description, its EndTime and the SamplingPercentage of its shadow can be changed."
        )
    return {**changes, "edition": spec["edition"] + 1}


def _rescheduled(experiment: Record, given: dict[str, Any], now: float, running: bool) -> dict[str, float]:
    spec = experiment.spec
    if not running:
        return checks.schedule({"EndTime": spec["end_at"], **given}, spec["start_at"], now)
    started = experiment.state["started_at"]
    if "StartTime" in given and given["StartTime"] not in (started, spec["start_at"]):
        raise validation("The experiment runs already: its StartTime cannot be changed, only its EndTime.")
    end_at = given.get("EndTime", spec["end_at"])
    if end_at <= now or end_at - started > checks.LONGEST_SECONDS:
        raise validation("The EndTime of a running experiment must be later than now, and at most 30 days after its start.")
    return {"end_at": end_at}


def _deployed(spec: dict[str, Any]) -> Any:
    """What of a wish the endpoint's configuration has."""
    return sorted(map(repr, spec["variants"])), spec["shadow"]["name"], spec.get("storage")


def _wish(call: Any, name: str, wish: Callable[[Record], dict[str, Any]], allowed: Sequence[str], verb: str) -> dict[str, Any]:
    while True:
        experiment = the_experiment(call, name)
        if status_of(experiment) not in allowed:
            raise _conflict(experiment, verb, allowed)
        try:
            call.store.request(experiment, wish(experiment))
        except Moved:
            continue
        call.platform.ring(EXPERIMENT.kind)
        return {"InferenceExperimentArn": experiment.arn}


# --- errors ----------------------------------------------------------------------------------------


def _taken(name: str) -> Exception:
    return api.error.ResourceInUse(
        f"Inference experiment names must be unique within an AWS account and region: an inference experiment {name} exists already."
    )


def _conflict(experiment: Record, verb: str, allowed: Sequence[str]) -> Exception:
    return api.error.ConflictException(
        f"Cannot {verb} inference experiment {experiment.name} in status {status_of(experiment)}: it must be {' or '.join(allowed)}."
    )
