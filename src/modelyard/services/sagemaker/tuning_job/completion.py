"""When a tuning job has seen enough. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.services.sagemaker.tuning_job.trials import Trial, best_of

NO_SUCCESS_AFTER = 5
IMPROVEMENT = 0.01
"""AWS counts as an improvement what is better by 1 % of the best before."""
CONVERGED_AFTER, CONVERGED_SHARE = 20, 0.5


def failure(trials: Sequence[Trial], all_done: bool) -> str | None:
    """AWS's words where the trials show that no trial will succeed: after five, or after all of them."""
    ended = [trial for trial in trials if trial.is_ended and not (trial.status == "Stopped" and trial.value is None)]
    if len(ended) < NO_SUCCESS_AFTER and not (all_done and ended):
        return None
    count = min(len(ended), NO_SUCCESS_AFTER)  # AWS says five also where more had run beside
    if all(trial.status == "Failed" for trial in ended):
        return (
            f"No training job succeeded after {count} attempts. For additional details, please take a look at the training job "
            "failures by listing training jobs for the hyperparameter tuning job."
        )
    if all(trial.value is None for trial in ended):
        return (
            f"No objective metrics found after running {count} training jobs. Please ensure that the custom algorithm is emitting "
            "the objective metric as defined by the regular expression provided."
        )
    return None


def criterion_met(criteria: Mapping[str, Any], trials: Sequence[Trial]) -> bool:
    """Whether one of TuningJobCompletionCriteria holds."""
    best = best_of(trials)
    if best is None:
        return False
    if (target := criteria.get("TargetObjectiveMetricValue")) is not None and best.loss <= (-target if best.maximize else target):
        return True
    patience = criteria.get("BestObjectiveNotImproving", {}).get("MaxNumberOfTrainingJobsNotImproving")
    if patience is not None and not_improving(trials) >= patience:
        return True
    return criteria.get("ConvergenceDetected", {}).get("CompleteOnConvergence") == "Enabled" and has_converged(trials)


def not_improving(trials: Sequence[Trial]) -> int:
    """How many trials ended since the last that was better than the best before it by 1 %."""
    best, since = None, 0
    for trial in by_end(trials):
        if best is None or trial.loss < best - IMPROVEMENT * abs(best):
            since, best = 0, trial.loss
        else:
            since, best = since + 1, min(best, trial.loss)
    return since


def has_converged(trials: Sequence[Trial]) -> bool:
    """At least twenty trials have a value, and the last half of them brought no improvement."""
    known = by_end(trials)
    return len(known) >= CONVERGED_AFTER and not_improving(trials) >= CONVERGED_SHARE * len(known)


def by_end(trials: Sequence[Trial]) -> list[Trial]:
    """Trials that have a value, as they ended."""
    known = [trial for trial in trials if trial.value is not None and trial.status != "Failed"]
    return sorted(known, key=lambda trial: (trial.ended or 0.0, trial.number))
