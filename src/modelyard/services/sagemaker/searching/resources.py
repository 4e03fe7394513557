"""What can be searched, as data. A new resource is one row here; those that are not built have no row and nothing to find."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker import model
from modelyard.services.sagemaker.common import arn_of, tag_list
from modelyard.services.sagemaker.endpoint import describe as endpoint
from modelyard.services.sagemaker.endpoint.lifecycle import REPLICA
from modelyard.services.sagemaker.experiments import component, experiment, trial
from modelyard.services.sagemaker.experiments.common import COMPONENT, EXPERIMENT, TRIAL
from modelyard.services.sagemaker.processing_job.operations import describe as describe_processing_job
from modelyard.services.sagemaker.registry import group
from modelyard.services.sagemaker.registry.package import KIND as PACKAGE
from modelyard.services.sagemaker.registry.shown import describe as describe_package
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE as TRAINING_JOB
from modelyard.services.sagemaker.training_job.operations import describe as describe_training_job
from modelyard.services.sagemaker.transform_job.operations import describe as describe_transform_job

Make = Callable[[Any, Record], Any]


@dataclass(frozen=True)
class Resource:
    """`member` holds a hit in the answer, `shape` is its shape, `name` the property that is the record's name. `describe(call, record)` makes
    the document; `extras` are members that cost a look elsewhere and are made only for those shown, or where an expression reads them.
    `within` is the member of the answer's shape under which the document lies, where it is not the shape itself."""

    member: str
    shape: str
    kind: str
    name: str
    describe: Make
    extras: Mapping[str, Make] = field(default_factory=dict)
    within: str | None = None


def _tags(call: Any, record: Record) -> Any:
    owner = record.owner if record.kind == PACKAGE else None
    holder = call.store.by_uid(owner) if owner else record  # a version has the tags of its group
    return tag_list(call.store.tags((holder or record).arn))


def _parents(call: Any, record: Record) -> Any:
    trials = call.store.by_uids(call.platform.experiment_links.trials(record.uid))
    return [{"TrialName": t.name, "ExperimentName": t.spec["ExperimentName"]} for t in trials]


def _metrics(call: Any, record: Record) -> Any:
    return call.platform.run_metrics.summaries(record.uid, component.source_of(record))


def _source_detail(call: Any, record: Record) -> Any:
    """The job behind an automatic component, as its own search shows it."""
    source = record.spec.get("Source")
    job = call.store.by_arn(source["SourceArn"]) if source else None
    if job is None:
        return None
    made = SOURCE_DETAILS.get(job.kind)
    return {"SourceArn": job.arn, **({made[0]: made[1](call, job)} if made else {})}


def _members(call: Any, record: Record) -> Any:
    found = call.store.by_uids(call.platform.experiment_links.components([record.uid]))
    rows = []
    for one in found:
        row = {"TrialComponentName": one.name, "TrialComponentArn": one.arn, "CreationTime": one.created_at, "CreatedBy": {}}
        rows.append(row | ({"TrialComponentSource": one.spec["Source"]} if "Source" in one.spec else {}))
    return rows


def _endpoint(call: Any, record: Record) -> dict[str, Any]:
    return endpoint.describe(record, call.store.children(record.uid, REPLICA.kind))


def _lineage_group(call: Any, record: Record) -> Any:
    return arn_of(call, "lineage-group", component.LINEAGE_GROUP)


SOURCE_DETAILS: dict[str, tuple[str, Make]] = {
    "training-job": ("TrainingJob", lambda _, job: describe_training_job(job)),
    "processing-job": ("ProcessingJob", lambda _, job: describe_processing_job(job)),
    "transform-job": ("TransformJob", lambda _, job: describe_transform_job(job)),
}
"""Kind of a job → (member of TrialComponentSourceDetail, document)."""
TAGS: dict[str, Make] = {"Tags": _tags}
RESOURCES: dict[str, Resource] = {
    "TrainingJob": Resource(
        "TrainingJob", "TrainingJob", TRAINING_JOB.kind, "TrainingJobName", lambda _, job: describe_training_job(job), TAGS
    ),
    "Experiment": Resource("Experiment", "Experiment", EXPERIMENT.kind, "ExperimentName", lambda _, r: experiment.describe(r), TAGS),
    "ExperimentTrial": Resource(
        "Trial", "Trial", TRIAL.kind, "TrialName", lambda _, r: trial.describe(r), {**TAGS, "TrialComponentSummaries": _members}
    ),
    "ExperimentTrialComponent": Resource(
        "TrialComponent", "TrialComponent", COMPONENT.kind, "TrialComponentName", lambda _, r: component.describe(r),
        {**TAGS, "Parents": _parents, "Metrics": _metrics, "SourceDetail": _source_detail, "LineageGroupArn": _lineage_group},
    ),
    "Endpoint": Resource("Endpoint", "Endpoint", "endpoint", "EndpointName", _endpoint, TAGS),
    "Model": Resource("Model", "Model", model.LIFECYCLE.kind, "ModelName", lambda _, r: model.describe(r), TAGS, within="Model"),
    "ModelPackage": Resource("ModelPackage", "ModelPackage", PACKAGE, "ModelPackageName", lambda _, r: describe_package(r), TAGS),
    "ModelPackageGroup": Resource(
        "ModelPackageGroup", "ModelPackageGroup", group.LIFECYCLE.kind, "ModelPackageGroupName", lambda _, r: group.describe(r), TAGS
    ),
}  # fmt: skip
