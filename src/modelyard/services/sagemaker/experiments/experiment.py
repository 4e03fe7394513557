"""Experiments: what trials are grouped under."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import changed, list_page
from modelyard.services.sagemaker.experiments.common import EXPERIMENT, TRIAL, create, delete, shown, the


@api.operation
def create_experiment(call, request):
    return {"ExperimentArn": create(call, EXPERIMENT, request, request["ExperimentName"]).arn}


@api.operation
def describe_experiment(call, request):
    return describe(the(call, EXPERIMENT, request["ExperimentName"]))


@api.operation
def update_experiment(call, request):
    patch = {member: request[member] for member in ("DisplayName", "Description") if member in request}
    return {"ExperimentArn": changed(call, lambda: the(call, EXPERIMENT, request["ExperimentName"]), lambda _: patch).arn}


@api.operation
def list_experiments(call, request):
    found, more = list_page(call, EXPERIMENT.kind, request)
    members = ("ExperimentArn", "ExperimentName", "DisplayName", "CreationTime", "LastModifiedTime")
    rows = [{member: row[member] for member in members} for row in map(describe, found)]
    return {"ExperimentSummaries": rows, **more}


@api.operation
def delete_experiment(call, request):
    def check(record: Record) -> None:
        if trials := call.store.children(record.uid, TRIAL.kind):
            raise validation(
                f"Experiment '{record.arn}' still has trials ({trials[0].name} is one of {len(trials)}): delete all trials of an experiment first."
            )

    return {"ExperimentArn": delete(call, EXPERIMENT, request["ExperimentName"], check).arn}


def describe(record: Record) -> dict[str, Any]:
    return {"ExperimentName": record.name, "ExperimentArn": record.arn, **shown(record, ("Description", "Source"))}
