"""A platform whose tuning jobs are real and whose training jobs end when the test says."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from botocore.config import Config

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.records import Record
from modelyard.kernel.store import Step
from modelyard.services.sagemaker import api as sagemaker
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE as TRAINING_JOB
from modelyard.services.sagemaker.training_job.lifecycle import moved
from tests.support.platform import ACCOUNT, InProcess

XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
SCRIPT = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
LOOKS = 40
LOSS = [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]


def numbers(**ranges: tuple[float, float]) -> dict[str, Any]:
    return {"ContinuousParameterRanges": [{"Name": n, "MinValue": str(a), "MaxValue": str(b)} for n, (a, b) in ranges.items()]}


def categories(**values: list[str]) -> dict[str, Any]:
    return {"CategoricalParameterRanges": [{"Name": name, "Values": given} for name, given in values.items()]}


class TuningYard(InProcess):
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(time.time())
        super().__init__(folder, clock=self.clock)
        self.sm = self.client("sagemaker", config=Config(parameter_validation=False))
        self.role = f"arn:aws:iam::{ACCOUNT}:role/" + self.client("sts").get_caller_identity()["Arn"].split("/")[1]

    def definition(self, **more: Any) -> dict[str, Any]:
        asked = {
            "StaticHyperParameters": {"depth": "3"},
            "AlgorithmSpecification": {"TrainingImage": SCRIPT, "TrainingInputMode": "File", "MetricDefinitions": LOSS},
            "RoleArn": self.role,
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        } | more
        return {k: v for k, v in asked.items() if v is not None}

    def config(self, jobs: int | None = 6, parallel: int = 2, **more: Any) -> dict[str, Any]:
        limits = {"MaxParallelTrainingJobs": parallel} | ({} if jobs is None else {"MaxNumberOfTrainingJobs": jobs})
        asked = {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
            "ResourceLimits": limits,
            "ParameterRanges": numbers(x=(0, 1)),
        } | more
        return {k: v for k, v in asked.items() if v is not None}

    def request(
        self, name: str, config: dict[str, Any] | None = None, definition: dict[str, Any] | None = None, **more: Any
    ) -> dict[str, Any]:
        asked = {
            "HyperParameterTuningJobName": name,
            "HyperParameterTuningJobConfig": self.config() if config is None else config,
            "TrainingJobDefinition": self.definition() if definition is None else definition,
        } | more
        return {k: v for k, v in asked.items() if v is not None}

    def create(self, name: str, *arguments: Any, **more: Any) -> str:
        return self.sm.create_hyper_parameter_tuning_job(**self.request(name, *arguments, **more))["HyperParameterTuningJobArn"]

    def describe(self, name: str) -> dict[str, Any]:
        return self.sm.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)

    def list(self, name: str, **more: Any) -> list[dict[str, Any]]:
        return self.sm.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName=name, MaxResults=100, **more)[
            "TrainingJobSummaries"
        ]

    def tune(self) -> None:
        """What the engine does for tuning jobs now; those that look at running trials have something to do always."""
        reconcilers = [r for r in sagemaker.reconcilers if r.lifecycle.kind == "tuning-job"]
        Engine(self.platform, reconcilers).settle(rounds=LOOKS)

    def children(self, name: str, running: bool = False) -> list[Record]:
        job = self.platform.store.get("tuning-job", ACCOUNT, "us-east-1", name)
        found = self.platform.store.children(job.uid, TRAINING_JOB.kind)
        return [child for child in found if not running or not TRAINING_JOB.is_final(child.status)]

    def end(self, child: Record, value: float | None, status: str = "Completed", **state: Any) -> None:
        """As the engine ends a training job, a second later."""
        child = self.platform.store.by_uid(child.uid)
        now = self.clock.advance(1.0)
        metric = child.spec["tuning"]["metric"]
        metrics = [] if value is None else [{"MetricName": metric, "Value": value, "Timestamp": now}]
        step = Step(status, {**moved(child.state, status, now), "started_at": now - 1, "ended_at": now, "metrics": metrics, **state})
        assert self.platform.store.apply(TRAINING_JOB, child, step, None)

    def run(self, name: str, objective: Callable[[dict[str, str]], float | None], looks: int = 500, **state: Any) -> dict[str, Any]:
        """Ends one training job after the other with the objective of its values, till the tuning job ends."""
        for _ in range(looks):
            self.tune()
            running = self.children(name, running=True)
            if not running:
                return self.describe(name)
            child = running[0]
            if child.spec.get("stop"):
                self.end(child, None, "Stopped")
                continue
            value = objective(child.spec["HyperParameters"])
            self.end(child, value, "Completed", **state)
        raise TimeoutError(f"{name} did not end")
