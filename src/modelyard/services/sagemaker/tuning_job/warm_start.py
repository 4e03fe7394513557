"""What the trials of parent jobs teach a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.tuning_job.lifecycle import LIFECYCLE
from modelyard.services.sagemaker.tuning_job.trials import Trial, trials_of

IDENTICAL = "IdenticalDataAndAlgorithm"


def parents_of(store: Any, job: Record) -> list[list[Trial]]:
    """The trials of each parent job that is still there; they have ended, so they are the same at every look."""
    names = [
        parent.get("HyperParameterTuningJobName", "")
        for parent in job.spec.get("WarmStartConfig", {}).get("ParentHyperParameterTuningJobs", [])
    ]
    found = [store.get(LIFECYCLE.kind, job.account, job.region, name) for name in names]
    return [trials_of(store, parent) for parent in found if parent is not None]


def is_identical(spec: Mapping[str, Any]) -> bool:
    return spec.get("WarmStartConfig", {}).get("WarmStartType") == IDENTICAL


def lessons(trials: Sequence[Trial]) -> list[tuple[dict[str, str], float]]:
    """(values, objective to minimise); what was static in the parent may be searched now, so all hyperparameters count."""
    return [({**trial.static, **trial.tuned}, trial.loss) for trial in trials if trial.value is not None and trial.status != "Failed"]
