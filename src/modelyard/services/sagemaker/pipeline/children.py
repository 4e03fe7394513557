"""The jobs and resources that steps make: a row for each type of step."""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker import model
from modelyard.services.sagemaker.pipeline.lifecycle import execution_id
from modelyard.services.sagemaker.processing_job.lifecycle import LIFECYCLE as PROCESSING_JOB
from modelyard.services.sagemaker.processing_job.operations import describe as describe_processing_job
from modelyard.services.sagemaker.registry.package import KIND as PACKAGE
from modelyard.services.sagemaker.registry.shown import describe as describe_package
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE as TRAINING_JOB
from modelyard.services.sagemaker.training_job.operations import describe as describe_training_job
from modelyard.services.sagemaker.transform_job.lifecycle import LIFECYCLE as TRANSFORM_JOB
from modelyard.services.sagemaker.transform_job.operations import describe as describe_transform_job
from modelyard.services.sagemaker.tuning_job.lifecycle import LIFECYCLE as TUNING_JOB
from modelyard.services.sagemaker.tuning_job.operations import describe as describe_tuning_job
from modelyard.services.sagemaker.tuning_job.trials import summary, trials_of

EXECUTION_TAG, STEP_TAG = "sagemaker:pipeline-execution-arn", "sagemaker:pipeline-step-name"
"""Tags that AWS puts on what a pipeline makes."""
LONGEST_NAME, STEP_CHARACTERS, TUNING_STEP_CHARACTERS = 63, 20, 7
MOST_SUMMARIES = 50
LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class Kind:
    """`name` is the member of the request that names the job, "" where it has no name of its own; `arn` the member of the answer; `kind` that
    of the record; `metadata` the member of a step's Metadata; `stops` whether it can be asked to stop."""

    name: str
    arn: str
    kind: str
    metadata: str
    describe: Callable[[Any, Record], dict[str, Any]]
    stops: bool = True
    succeeded: Sequence[str] = ("Completed",)
    ended: Sequence[str] = ("Completed", "Failed", "Stopped")
    experiment: bool = False
    """Whether its request takes an ExperimentConfig."""


def _tuning(store: Any, job: Record) -> dict[str, Any]:
    """Describe, and the training jobs with the best first, as steps refer to them."""
    trials = sorted(trials_of(store, job), key=lambda t: (t.value is None, t.loss if t.value is not None else 0.0, t.number))
    return describe_tuning_job(store, job) | {"TrainingJobSummaries": [summary(trial) for trial in trials[:MOST_SUMMARIES]]}


KINDS: dict[str, Kind] = {
    "Training": Kind(
        "TrainingJobName", "TrainingJobArn", TRAINING_JOB.kind, "TrainingJob", lambda _, job: describe_training_job(job), experiment=True
    ),
    "Processing": Kind(
        "ProcessingJobName", "ProcessingJobArn", PROCESSING_JOB.kind, "ProcessingJob", lambda _, job: describe_processing_job(job), experiment=True
    ),
    "Transform": Kind(
        "TransformJobName", "TransformJobArn", TRANSFORM_JOB.kind, "TransformJob", lambda _, job: describe_transform_job(job), experiment=True
    ),
    "Tuning": Kind("HyperParameterTuningJobName", "HyperParameterTuningJobArn", TUNING_JOB.kind, "TuningJob", _tuning),
    "Model": Kind(
        "ModelName", "ModelArn", model.LIFECYCLE.kind, "Model", lambda _, one: model.describe(one), stops=False,
        succeeded=(model.LIFECYCLE.first,), ended=(model.LIFECYCLE.first,),
    ),
    "RegisterModel": Kind("", "ModelPackageArn", PACKAGE, "RegisterModel", lambda _, one: describe_package(one), stops=False),
}  # fmt: skip


def job_name(execution: Record, step: str, type_: str, launch: int, asked: Any = None) -> str:
    """`pipelines-<execution>-<step>-<suffix>`, as AWS names them; a name in the definition is a prefix. The same launch has the same name."""
    digest = hashlib.sha256(f"{execution.uid}\0{step}\0{launch}".encode()).digest()
    suffix = "".join(LETTERS[byte % len(LETTERS)] for byte in digest[:10])
    me, plain = execution_id(execution), step.replace("_", "-")
    if isinstance(asked, str) and asked:
        tail = f"-{me}-{suffix}"
        longest = 32 if type_ == "Tuning" else LONGEST_NAME
        return asked[: longest - len(tail)].rstrip("-") + tail
    if type_ == "Tuning":  # names of tuning jobs are short
        return f"{me}-{plain[:TUNING_STEP_CHARACTERS].strip('-')}-{suffix}"
    return f"pipelines-{me}-{plain[:STEP_CHARACTERS].strip('-')}-{suffix}"


def tags_of(execution: Record, step: str) -> list[dict[str, str]]:
    return [{"Key": EXECUTION_TAG, "Value": execution.arn}, {"Key": STEP_TAG, "Value": step}]


def is_of(store: Any, execution: Record, record: Record) -> bool:
    """Whether this execution made it."""
    return store.tags(record.arn).get(EXECUTION_TAG) == execution.arn
