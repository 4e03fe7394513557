"""A platform whose pipelines are real and whose jobs end when the test says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.records import Record
from modelyard.kernel.store import Step
from modelyard.services.sagemaker.processing_job.lifecycle import LIFECYCLE as PROCESSING_JOB
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE as TRAINING_JOB
from modelyard.services.sagemaker.training_job.lifecycle import moved
from modelyard.services.sagemaker.transform_job.lifecycle import LIFECYCLE as TRANSFORM_JOB
from modelyard.services.sagemaker.tuning_job.lifecycle import LIFECYCLE as TUNING_JOB
from tests.support.platform import ACCOUNT, InProcess

BASE = "470317259841.dkr.ecr.us-east-1.amazonaws.com/sagemaker-base-python:1.0"
LIFECYCLES = {kind.kind: kind for kind in (TRAINING_JOB, PROCESSING_JOB, TRANSFORM_JOB, TUNING_JOB)}
MOVED_BY_US = {"pipeline-execution", "model-package"}


class PipelineYard(InProcess):
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        super().__init__(folder, clock=self.clock)
        self.sm, self.s3 = self.client("sagemaker"), self.client("s3")
        self.role = f"arn:aws:iam::{ACCOUNT}:role/" + self.client("sts").get_caller_identity()["Arn"].split("/")[1]
        self.s3.create_bucket(Bucket="bucket")

    def clear(self) -> None:
        """No pipeline, execution or job of the test before."""
        kinds = [
            kind
            for kind in self.platform.store.db.read(
                "SELECT DISTINCT kind FROM records WHERE kind LIKE 'pipeline%' OR kind LIKE '%-job'", ()
            )
        ]
        for (kind,) in kinds:
            for record in self.platform.store.list(kind):
                self.platform.store.delete(record)
        self.settle(MOVED_BY_US)

    # --- steps -------------------------------------------------------------------------------------

    def training(self, name: str, **more: Any) -> dict[str, Any]:
        arguments = {
            "AlgorithmSpecification": {"TrainingImage": BASE, "TrainingInputMode": "File"},
            "RoleArn": self.role,
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        }
        arguments |= more.pop("arguments", {})
        return {"Name": name, "Type": "Training", "Arguments": arguments, **more}

    def processing(self, name: str, **more: Any) -> dict[str, Any]:
        arguments = {
            "AppSpecification": {"ImageUri": BASE, "ContainerEntrypoint": ["python3", "-c", "pass"]},
            "RoleArn": self.role,
            "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
        }
        arguments |= more.pop("arguments", {})
        return {"Name": name, "Type": "Processing", "Arguments": arguments, **more}

    @staticmethod
    def condition(name: str, conditions: list[dict[str, Any]], then: list[Any] = (), other: list[Any] = (), **more: Any) -> dict[str, Any]:
        arguments = {"Conditions": conditions, "IfSteps": list(then), "ElseSteps": list(other)}
        return {"Name": name, "Type": "Condition", "Arguments": arguments, **more}

    @staticmethod
    def fail(name: str, message: Any = "no good", **more: Any) -> dict[str, Any]:
        return {"Name": name, "Type": "Fail", "Arguments": {"ErrorMessage": message}, **more}

    # --- pipelines ---------------------------------------------------------------------------------

    @staticmethod
    def definition(*steps: dict[str, Any], parameters: list[dict[str, Any]] = (), **more: Any) -> str:
        return json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": list(parameters), "Steps": list(steps)} | more)

    def create(self, name: str, *steps: dict[str, Any], parameters: list[dict[str, Any]] = (), top: Any = None, **more: Any) -> str:
        text = self.definition(*steps, parameters=parameters, **(top or {}))
        return self.sm.create_pipeline(PipelineName=name, PipelineDefinition=text, **{"RoleArn": self.role, **more})["PipelineArn"]

    def start(self, name: str, parameters: dict[str, str] | None = None, **more: Any) -> str:
        given = [{"Name": key, "Value": value} for key, value in (parameters or {}).items()]
        arn = self.sm.start_pipeline_execution(PipelineName=name, PipelineParameters=given, **more)["PipelineExecutionArn"]
        self.go()
        return arn

    def go(self) -> None:
        """What the engine does for pipelines now; their jobs stand still."""
        self.settle(MOVED_BY_US)

    def status(self, arn: str) -> str:
        return self.sm.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"]

    def steps(self, arn: str) -> dict[str, dict[str, Any]]:
        return {
            row["StepName"]: row
            for row in self.sm.list_pipeline_execution_steps(PipelineExecutionArn=arn, MaxResults=100)["PipelineExecutionSteps"]
        }

    def statuses(self, arn: str) -> dict[str, str]:
        return {name: row["StepStatus"] for name, row in self.steps(arn).items()}

    def job(self, arn: str, step: str) -> Record:
        """The record of the job that a step made."""
        return self.platform.store.by_arn(next(iter(self.steps(arn)[step]["Metadata"].values()))["Arn"])

    def end(self, arn: str, step: str, status: str = "Completed", **state: Any) -> Record:
        """The job of a step ends, a second later, as its own engine ends it; then the pipeline goes on."""
        job, now = self.job(arn, step), self.clock.advance(1.0)
        lifecycle = LIFECYCLES[job.kind]
        state = {"ended_at": now, "started_at": now - 1, **state}
        if job.kind == TRAINING_JOB.kind:
            state = {**moved(job.state, status, now), **state}
            if status == "Completed":
                state.setdefault("model", f"s3://bucket/out/{job.name}/output/model.tar.gz")
        record = self.platform.store.apply(lifecycle, job, Step(status, state), None)
        assert record is not None
        self.go()
        return record

    def put(self, key: str, value: Any) -> str:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.s3.put_object(Bucket="bucket", Key=key, Body=body)
        return f"s3://bucket/{key}"
