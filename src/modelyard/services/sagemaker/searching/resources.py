"""What can be searched, as data. A new resource is one row here; those that are not built have no row and nothing to find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker import model
from modelyard.services.sagemaker.common import arn_of, tag_list
from modelyard.services.sagemaker.endpoint import describe as endpoint
from modelyard.services.sagemaker.endpoint.lifecycle import REPLICA
from modelyard.services.sagemaker.experiments import component, experiment, trial
from modelyard.services.sagemaker.experiments.common import COMPONENT, EXPERIMENT, TRIAL
from modelyard.services.sagemaker.pipeline import execution as pipeline_execution
from modelyard.services.sagemaker.pipeline import pipeline
from modelyard.services.sagemaker.pipeline.lifecycle import EXECUTION, PIPELINE
from modelyard.services.sagemaker.processing_job.operations import describe as describe_processing_job
from modelyard.services.sagemaker.registry import group
from modelyard.services.sagemaker.registry.package import KIND as PACKAGE
from modelyard.services.sagemaker.registry.shown import describe as describe_package
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE as TRAINING_JOB
from modelyard.services.sagemaker.training_job.operations import describe as describe_training_job
from modelyard.services.sagemaker.transform_job.operations import describe as describe_transform_job
from modelyard.services.sagemaker.tuning_job.lifecycle import LIFECYCLE as TUNING_JOB
from modelyard.services.sagemaker.tuning_job.operations import describe as describe_tuning_job

Make = Callable[[Any, Record], Any]
MakeAll = Callable[[Any, Sequence[Record]], Mapping[str, Any]]
"""For many records at once, by uid: a page costs a query and not one per hit. What is missing has nothing to show."""


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
    extras: Mapping[str, MakeAll] = field(default_factory=dict)
    within: str | None = None


def _tags(call: Any, records: Sequence[Record]) -> dict[str, Any]:
    """A version of a model package has the tags of its group."""
    groups = {g.uid: g.arn for g in call.store.by_uids(list({r.owner for r in records if r.kind == PACKAGE and r.owner}))}
    holders = {record.uid: groups.get(record.owner or "", record.arn) for record in records}
    found = call.store.tags_of(list(dict.fromkeys(holders.values())))
    return {uid: tag_list(found.get(arn, {})) for uid, arn in holders.items()}


def _parents(call: Any, records: Sequence[Record]) -> dict[str, Any]:
    of = call.platform.experiment_links.trials_of([r.uid for r in records])
    trials = {t.uid: t for t in call.store.by_uids(list({uid for uids in of.values() for uid in uids}))}
    return {
        record.uid: [
            {"TrialName": trials[t].name, "ExperimentName": trials[t].spec["ExperimentName"]} for t in of.get(record.uid, ()) if t in trials
        ]
        for record in records
    }


def _metrics(call: Any, records: Sequence[Record]) -> dict[str, Any]:
    return call.platform.run_metrics.summaries_of({r.uid: component.source_of(r) for r in records})


def _source_detail(call: Any, records: Sequence[Record]) -> dict[str, Any]:
    """The job behind an automatic component, as its own search shows it."""
    found = {}
    for record in records:
        source = record.spec.get("Source")
        job = call.store.by_arn(source["SourceArn"]) if source else None
        if job is not None and job.kind in SOURCE_DETAILS:
            member, describe = SOURCE_DETAILS[job.kind]
            found[record.uid] = {"SourceArn": job.arn, member: describe(call, job)}
    return found


def _members(call: Any, records: Sequence[Record]) -> dict[str, Any]:
    return {trial.uid: [_member(one) for one in _components(call, trial)] for trial in records}


def _components(call: Any, trial: Record) -> list[Record]:
    return call.store.by_uids(call.platform.experiment_links.components([trial.uid]))


def _member(one: Record) -> dict[str, Any]:
    row = {"TrialComponentName": one.name, "TrialComponentArn": one.arn, "CreationTime": one.created_at, "CreatedBy": {}}
    return row | ({"TrialComponentSource": one.spec["Source"]} if "Source" in one.spec else {})


def _endpoint(call: Any, record: Record) -> dict[str, Any]:
    return endpoint.describe(record, call.store.children(record.uid, REPLICA.kind))


def _lineage_group(call: Any, records: Sequence[Record]) -> dict[str, Any]:
    return {record.uid: arn_of(call, "lineage-group", component.LINEAGE_GROUP) for record in records}


SOURCE_DETAILS: dict[str, tuple[str, Make]] = {
    "training-job": ("TrainingJob", lambda _, job: describe_training_job(job)),
    "processing-job": ("ProcessingJob", lambda _, job: describe_processing_job(job)),
    "transform-job": ("TransformJob", lambda _, job: describe_transform_job(job)),
}
"""Kind of a job → (member of TrialComponentSourceDetail, document)."""
TAGS: dict[str, MakeAll] = {"Tags": _tags}
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
    "HyperParameterTuningJob": Resource(
        "HyperParameterTuningJob", "HyperParameterTuningJobSearchEntity", TUNING_JOB.kind, "HyperParameterTuningJobName",
        lambda call, job: describe_tuning_job(call.store, job), TAGS,
    ),
    "Pipeline": Resource("Pipeline", "Pipeline", PIPELINE.kind, "PipelineName", pipeline.describe, TAGS),
    "PipelineExecution": Resource(
        "PipelineExecution", "PipelineExecution", EXECUTION.kind, "PipelineExecutionArn", lambda _, r: pipeline_execution.found(r)
    ),
    "ModelPackageGroup": Resource(
        "ModelPackageGroup", "ModelPackageGroup", group.LIFECYCLE.kind, "ModelPackageGroupName", lambda _, r: group.describe(r), TAGS
    ),
}  # fmt: skip
