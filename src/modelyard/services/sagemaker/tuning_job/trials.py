"""The training jobs of a tuning job, as trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE as TRAINING_JOB

ENDED = ("Completed", "Failed", "Stopped")
INTERNAL = "InternalServerError"


@dataclass(frozen=True)
class Trial:
    """`value` is the final objective, None before the end and where none came out; `curve` the objective after each time the
    algorithm told it (running trials have theirs from curves.py); `tuned` the values that were searched."""

    number: int
    name: str
    arn: str
    uid: str
    status: str
    definition: str
    tuned: dict[str, str]
    static: dict[str, str]
    metric: str
    maximize: bool
    created: float
    value: float | None = None
    curve: Sequence[float] = ()
    started: float | None = None
    ended: float | None = None
    reason: str | None = None
    stopping: bool = False
    tuning_job: str = field(default="")

    @property
    def is_ended(self) -> bool:
        return self.status in ENDED

    @property
    def loss(self) -> float:
        """The objective, smaller is better."""
        assert self.value is not None
        return -self.value if self.maximize else self.value


def trial_of(child: Record) -> Trial:
    """The trial of a training job that a tuning job made."""
    spec, state = child.spec, child.state
    tuning = spec["tuning"]
    value = None
    if child.status in ENDED:
        value = next((m["Value"] for m in state.get("metrics", []) if m["MetricName"] == tuning["metric"]), None)
    tuned = tuning["values"]
    return Trial(
        number=tuning["number"],
        name=child.name,
        arn=child.arn,
        uid=child.uid,
        status=child.status,
        definition=tuning["definition"],
        tuned=tuned,
        static={name: text for name, text in spec.get("HyperParameters", {}).items() if name not in tuned},
        metric=tuning["metric"],
        maximize=tuning["type"] == "Maximize",
        created=child.created_at,
        value=value,
        curve=state.get("curve", ()),
        started=state.get("started_at"),
        ended=state.get("ended_at"),
        reason=state.get("reason"),
        stopping=bool(spec.get("stop")),
        tuning_job=tuning["job"],
    )


def trials_of(store: Any, job: Record) -> list[Trial]:
    """All of them, in the order they were launched."""
    return sorted((trial_of(child) for child in store.children(job.uid, TRAINING_JOB.kind)), key=lambda trial: trial.number)


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the best final objective (the earliest of equals); a failed one is none, a stopped one may be."""
    found = [trial for trial in trials if trial.value is not None and trial.status != "Failed"]
    return min(found, key=lambda trial: (trial.loss, trial.created, trial.number), default=None)


def objective_status(trial: Trial) -> str:
    if not trial.is_ended:
        return "Pending"
    return "Succeeded" if trial.value is not None and trial.status != "Failed" else "Failed"


def counters(trials: Sequence[Trial]) -> tuple[dict[str, int], dict[str, int]]:
    """(TrainingJobStatusCounters, ObjectiveStatusCounters)."""
    by_status = {"Completed": 0, "InProgress": 0, "RetryableError": 0, "NonRetryableError": 0, "Stopped": 0}
    by_objective = {"Succeeded": 0, "Pending": 0, "Failed": 0}
    for trial in trials:
        if trial.status == "Failed":
            by_status["RetryableError" if (trial.reason or "").startswith(INTERNAL) else "NonRetryableError"] += 1
        else:
            by_status[trial.status if trial.is_ended else "InProgress"] += 1
        by_objective[objective_status(trial)] += 1
    return by_status, by_objective


def summary(trial: Trial) -> dict[str, Any]:
    """A HyperParameterTrainingJobSummary."""
    said: dict[str, Any] = {
        "TrainingJobName": trial.name,
        "TrainingJobArn": trial.arn,
        "TuningJobName": trial.tuning_job,
        "CreationTime": trial.created,
        "TrainingJobStatus": trial.status,
        "TunedHyperParameters": dict(trial.tuned),
        "ObjectiveStatus": objective_status(trial),
    }
    optional = {
        "TrainingJobDefinitionName": trial.definition or None,
        "TrainingStartTime": trial.started,
        "TrainingEndTime": trial.ended,
        "FailureReason": trial.reason,
    }
    said.update({member: value for member, value in optional.items() if value is not None})
    if trial.value is not None and trial.status != "Failed":
        said["FinalHyperParameterTuningJobObjectiveMetric"] = {
            "Type": "Maximize" if trial.maximize else "Minimize",
            "MetricName": trial.metric,
            "Value": trial.value,
        }
    return said
