"""Trial components: parameters, metrics and artifacts of one step. A run of the SDK is one, and each job has one (automatic.py)."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, changed, list_page
from modelyard.services.sagemaker.experiments.common import COMPONENT, EXPERIMENT, TRIAL, create, delete, page_of, shown, the

MAPS = {"Parameters": 300, "InputArtifacts": 60, "OutputArtifacts": 60}
"""Members that an update merges, and how many entries they may have."""
ECHOED = ("Status", "StartTime", "EndTime", *MAPS, "MetadataProperties", "Source", "Sources")
SUMMARY = (
    "TrialComponentName", "TrialComponentArn", "DisplayName", "Status", "StartTime", "EndTime", "CreationTime", "CreatedBy",
    "LastModifiedTime", "LastModifiedBy",
)  # fmt: skip
LINEAGE_GROUP = "sagemaker-default-lineage-group"


@api.operation
def create_trial_component(call, request):
    _check_parameters(request)
    return {"TrialComponentArn": create(call, COMPONENT, request, request["TrialComponentName"]).arn}


@api.operation
def describe_trial_component(call, request):
    record = the(call, COMPONENT, request["TrialComponentName"])
    said = describe(record) | {"Metrics": call.platform.run_metrics.summaries(record.uid, source_of(record))}
    return said | {"LineageGroupArn": arn_of(call, "lineage-group", LINEAGE_GROUP)}


@api.operation
def update_trial_component(call, request):
    _check_parameters(request)

    def change(record: Record) -> dict[str, Any]:
        patch = {member: request[member] for member in ("DisplayName", "Status", "StartTime", "EndTime") if member in request}
        for member, most in MAPS.items():
            merged = {**record.spec.get(member, {}), **request.get(member, {})}
            merged = {key: value for key, value in merged.items() if key not in request.get(f"{member}ToRemove", ())}
            if len(merged) > most:
                raise validation(f"A trial component can have at most {most} {member}; this would make {len(merged)}.")
            patch[member] = merged
        return patch

    return {"TrialComponentArn": changed(call, lambda: the(call, COMPONENT, request["TrialComponentName"]), change).arn}


@api.operation
def list_trial_components(call, request):
    given = [member for member in ("ExperimentName", "TrialName", "SourceArn") if member in request]
    if len(given) > 1:
        raise validation(
            f"Only one of the filters ExperimentName, TrialName and SourceArn can be used at a time; got {' and '.join(given)}."
        )
    if not given:
        found, more = list_page(call, COMPONENT.kind, request)
    else:
        found, more = page_of([r for r in call.store.by_uids(_uids(call, request)) if r.kind == COMPONENT.kind], request)
    return {"TrialComponentSummaries": [_summary(record) for record in found], **more}


def _uids(call: Any, request: dict[str, Any]) -> list[str]:
    links = call.platform.experiment_links
    if "SourceArn" in request:
        parts = request["SourceArn"].split(":")
        return links.of_source(request["SourceArn"]) if len(parts) > 4 and parts[4] == call.account else []
    if "TrialName" in request:
        return links.components([the(call, TRIAL, request["TrialName"]).uid])
    experiment = the(call, EXPERIMENT, request["ExperimentName"])
    return links.components([trial.uid for trial in call.store.children(experiment.uid, TRIAL.kind)])


@api.operation
def delete_trial_component(call, request):
    def check(record: Record) -> None:
        trials = call.store.by_uids(call.platform.experiment_links.trials(record.uid))
        if trials:
            raise validation(
                f"Trial Component '{record.arn}' is associated with Trial '{trials[0].arn}': disassociate it from all trials first."
            )

    record = delete(call, COMPONENT, request["TrialComponentName"], check)
    call.platform.experiment_links.forget(record.uid)
    call.platform.run_metrics.forget(record.uid)
    call.platform.lineage_edges.remove_touching(record.arn)
    return {"TrialComponentArn": record.arn}


def describe(record: Record) -> dict[str, Any]:
    """Without its metrics."""
    return {"TrialComponentName": record.name, "TrialComponentArn": record.arn, **shown(record, ECHOED)}


def source_of(record: Record) -> str:
    """The ARN under which its metrics are shown: that of its job, or its own."""
    return record.spec.get("Source", {}).get("SourceArn", record.arn)


def _summary(record: Record) -> dict[str, Any]:
    said = describe(record)
    found = {member: said[member] for member in SUMMARY if member in said}
    return found | ({"TrialComponentSource": said["Source"]} if "Source" in said else {})


def _check_parameters(request: dict[str, Any]) -> None:
    for name, value in request.get("Parameters", {}).items():
        if len(value) != 1:
            raise validation(f"Parameter {name} must have exactly one of StringValue and NumberValue.")
