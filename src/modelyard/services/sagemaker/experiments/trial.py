"""Trials: what belongs together within an experiment; components join and leave them."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, changed, list_page, tags_of
from modelyard.services.sagemaker.experiments.common import COMPONENT, EXPERIMENT, TRIAL, delete, page_of, shown, taken, the


@api.operation
def create_trial(call, request):
    experiment = the(call, EXPERIMENT, request["ExperimentName"])
    spec = {key: value for key, value in request.items() if key != "Tags"} | {"ExperimentName": experiment.name}
    name, tags = request["TrialName"], tags_of(request)
    arn = arn_of(call, TRIAL.kind, name)
    if call.store.by_arn(arn):
        raise taken(TRIAL, name)
    try:
        call.store.create(TRIAL, account=call.account, region=call.region, name=name, arn=arn, spec=spec, owner=experiment.uid, tags=tags)
    except Taken:
        raise taken(TRIAL, name) from None
    return {"TrialArn": arn}


@api.operation
def describe_trial(call, request):
    return describe(the(call, TRIAL, request["TrialName"]))


@api.operation
def update_trial(call, request):
    patch = {member: request[member] for member in ("DisplayName",) if member in request}
    return {"TrialArn": changed(call, lambda: the(call, TRIAL, request["TrialName"]), lambda _: patch).arn}


@api.operation
def list_trials(call, request):
    experiment, component = request.get("ExperimentName"), request.get("TrialComponentName")
    if component is not None:
        uids = call.platform.experiment_links.trials(the(call, COMPONENT, component).uid)
        owner = the(call, EXPERIMENT, experiment).uid if experiment is not None else None
        found, more = page_of([t for t in call.store.by_uids(uids) if owner in (None, t.owner)], request)
    else:
        owner = the(call, EXPERIMENT, experiment).uid if experiment is not None else None
        found, more = list_page(call, TRIAL.kind, request, owner=owner)
    members = ("TrialArn", "TrialName", "DisplayName", "CreationTime", "LastModifiedTime")
    return {"TrialSummaries": [{member: row[member] for member in members} for row in map(describe, found)], **more}


@api.operation
def delete_trial(call, request):
    def check(record: Record) -> None:
        if components := call.platform.experiment_links.components([record.uid]):
            raise validation(
                f"Trial '{record.arn}' still has {len(components)} trial components: disassociate or delete all components of a trial first."
            )

    return {"TrialArn": delete(call, TRIAL, request["TrialName"], check).arn}


@api.operation
def associate_trial_component(call, request):
    trial, component = the(call, TRIAL, request["TrialName"]), the(call, COMPONENT, request["TrialComponentName"])
    call.platform.experiment_links.join(trial.uid, component.uid)
    return {"TrialComponentArn": component.arn, "TrialArn": trial.arn}


@api.operation
def disassociate_trial_component(call, request):
    trial, component = the(call, TRIAL, request["TrialName"]), the(call, COMPONENT, request["TrialComponentName"])
    if not call.platform.experiment_links.part(trial.uid, component.uid):
        raise api.error.ResourceNotFound(f"Trial Component '{component.arn}' is not associated with Trial '{trial.arn}'.")
    return {"TrialComponentArn": component.arn, "TrialArn": trial.arn}


def describe(record: Record) -> dict[str, Any]:
    said = {"TrialName": record.name, "TrialArn": record.arn, "ExperimentName": record.spec["ExperimentName"]}
    return {**said, **shown(record, ("MetadataProperties", "Source"))}
