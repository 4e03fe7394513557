"""What CreateHyperParameterTuningJob refuses, beyond what the model says. Texts are AWS's where they are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.optimiser.space import LOG, REVERSE_LOG, space_of
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.tuning_job import pruning
from modelyard.services.sagemaker.tuning_job.definitions import KINDS, metric_definitions, objective_of, ranges_of

MOST_PARALLEL, MOST_RANGES = 100, 30
MOST_JOBS = {"Bayesian": 750, "Random": 10_000, "Hyperband": 750, "Grid": 750}


def check(config: Mapping[str, Any], definitions: Sequence[Mapping[str, Any]], request: Mapping[str, Any]) -> None:
    """`config` and `definitions` with what Autotune filled in."""
    _check_definitions(config, definitions, request)
    for definition in definitions:
        _check_resources(definition)
        ranges = ranges_of(config, definition)
        check_ranges(ranges, definition.get("StaticHyperParameters", {}))
        _check_metric(objective_of(config, definition), definition)
        _check_strategy(config, definition, ranges)
    _check_limits(config, definitions)


def _check_definitions(config: Mapping[str, Any], definitions: Sequence[Mapping[str, Any]], request: Mapping[str, Any]) -> None:
    if ("TrainingJobDefinition" in request) == ("TrainingJobDefinitions" in request):
        raise validation("You must specify either TrainingJobDefinition or TrainingJobDefinitions, and not both.")
    if "TrainingJobDefinitions" in request:
        if config.get("HyperParameterTuningJobObjective") or config.get("ParameterRanges"):
            raise validation(
                "HyperParameterTuningJobObjective and ParameterRanges of HyperParameterTuningJobConfig cannot be used with "
                "TrainingJobDefinitions. Give TuningObjective and HyperParameterRanges in each training job definition."
            )
        for member in ("DefinitionName", "TuningObjective", "HyperParameterRanges"):
            if any(member not in definition for definition in definitions):
                raise validation(f"{member} is required for each of TrainingJobDefinitions.")
        names = [definition["DefinitionName"] for definition in definitions]
        if len(set(names)) != len(names):
            raise validation("The DefinitionName of each training job definition must be unique within the tuning job.")
        if len({definition["TuningObjective"]["Type"] for definition in definitions}) > 1:
            raise validation("All training job definitions must have the same type of TuningObjective: Maximize or Minimize.")
    elif not config.get("HyperParameterTuningJobObjective") and "TuningObjective" not in definitions[0]:
        raise validation("HyperParameterTuningJobObjective is required in HyperParameterTuningJobConfig.")


def _check_resources(definition: Mapping[str, Any]) -> None:
    """One way to name the instances."""
    flexible = definition.get("HyperParameterTuningResourceConfig")
    if flexible is None:
        return
    if "ResourceConfig" in definition:
        raise validation("You must specify either ResourceConfig or HyperParameterTuningResourceConfig, and not both.")
    if not flexible.get("InstanceConfigs"):
        return
    if both := [member for member in ("InstanceType", "InstanceCount", "VolumeSizeInGB") if member in flexible]:
        raise validation(f"{both[0]} cannot be used together with InstanceConfigs in HyperParameterTuningResourceConfig.")
    if "AllocationStrategy" not in flexible:
        raise validation("AllocationStrategy is required together with InstanceConfigs in HyperParameterTuningResourceConfig.")


def check_ranges(ranges: Mapping[str, Any], static: Mapping[str, str]) -> None:
    """Each range can be searched, and no hyperparameter has two places."""
    named = [r["Name"] for kind in KINDS for r in ranges.get(kind, [])]
    if not named:
        raise validation("At least one hyperparameter range is required. Provide ParameterRanges to search.")
    if len(named) > MOST_RANGES:
        raise _limit("Maximum number of hyperparameters that can be searched", MOST_RANGES, len(named), "Hyperparameters")
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise validation(f"The hyperparameter [{twice[0]}] has more than one range. Hyperparameter names must be unique.")
    if both := sorted(set(named) & set(static)):
        raise validation(
            f"The hyperparameter [{both[0]}] is both in the static hyperparameters and in the parameter ranges. Provide it once."
        )
    for r in ranges.get("IntegerParameterRanges", []):
        _check_numbers(r, int, "an integer")
    for r in ranges.get("ContinuousParameterRanges", []):
        _check_numbers(r, float, "a number")
    for r in ranges.get("CategoricalParameterRanges", []):
        if len(set(r["Values"])) != len(r["Values"]):
            raise validation(f"The values of the categorical hyperparameter [{r['Name']}] must be unique.")


def _check_numbers(r: Mapping[str, Any], parse: Any, kind: str) -> None:
    ends = []
    for member in ("MinValue", "MaxValue"):
        try:
            ends.append(parse(r[member]))
        except ValueError:
            raise validation(f"The {member} [{r[member]}] of the hyperparameter [{r['Name']}] isn't {kind}.") from None
        if not math.isfinite(ends[-1]):
            raise validation(f"The {member} [{r[member]}] of the hyperparameter [{r['Name']}] isn't finite.")
    low, high = ends
    if low > high:
        raise validation(
            f"The MinValue [{r['MinValue']}] of the hyperparameter [{r['Name']}] must be less than or equal to its MaxValue [{r['MaxValue']}]."
        )
    scale = r.get("ScalingType", "Auto")
    if scale == LOG and low <= 0:
        raise validation(
            f"Logarithmic scaling works only for ranges that have only values greater than 0: [{r['Name']}] begins at {r['MinValue']}."
        )
    if scale == REVERSE_LOG and parse is int:
        raise validation(f"ReverseLogarithmic scaling works only for continuous hyperparameter ranges: [{r['Name']}] is an integer range.")
    if scale == REVERSE_LOG and not 0 <= low <= high < 1:
        raise validation(
            "ReverseLogarithmic scaling works only for ranges that are entirely within the range 0 <= x < 1.0: "
            f"[{r['Name']}] is {r['MinValue']} to {r['MaxValue']}."
        )


def _check_metric(objective: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    known = [metric["Name"] for metric in metric_definitions(definition)]
    if objective["MetricName"] in known:
        return
    if not known or definition["AlgorithmSpecification"].get("MetricDefinitions"):
        raise validation("A metric is required for this hyperparameter tuning job objective. Provide a metric in the metric definitions.")
    image = definition["AlgorithmSpecification"].get("TrainingImage", "")
    raise validation(
        f"The objective metric for the hyperparameter tuning job, [{objective['MetricName']}], isn't valid for the [{image}] algorithm. "
        f"Choose a valid objective metric for this algorithm from the following: [{', '.join(known)}]."
    )


def _check_strategy(config: Mapping[str, Any], definition: Mapping[str, Any], ranges: Mapping[str, Any]) -> None:
    strategy = config["Strategy"]
    if strategy == "Grid" and (ranges.get("IntegerParameterRanges") or ranges.get("ContinuousParameterRanges")):
        raise validation("Grid search supports only categorical hyperparameters. Provide only CategoricalParameterRanges.")
    if strategy != "Hyperband":
        if config.get("StrategyConfig"):
            raise validation("StrategyConfig is only supported for the Hyperband strategy.")
        return
    if config.get("TrainingJobEarlyStoppingType") == "Auto":
        raise validation(
            "TrainingJobEarlyStoppingType must be Off for the Hyperband strategy: it has an early stopping mechanism of its own."
        )
    found = pruning.resources(config, definition.get("StaticHyperParameters", {}))
    if found is None:
        raise validation(
            "MaxResource of HyperbandStrategyConfig is required: it could not be inferred from the static hyperparameters "
            f"({', '.join(pruning.EPOCH_NAMES)})."
        )
    if found[0] >= found[1]:
        raise validation(f"MinResource [{found[0]}] of HyperbandStrategyConfig must be less than MaxResource [{found[1]}].")


def _check_limits(config: Mapping[str, Any], definitions: Sequence[Mapping[str, Any]]) -> None:
    limits, strategy = config["ResourceLimits"], config["Strategy"]
    if limits["MaxParallelTrainingJobs"] > MOST_PARALLEL:
        raise _limit(
            "Maximum number of parallel training jobs per hyperparameter tuning job",
            MOST_PARALLEL,
            limits["MaxParallelTrainingJobs"],
            "Training Jobs",
        )
    combinations = sum(space_of(ranges_of(config, definition)).combinations for definition in definitions)
    asked = limits.get("MaxNumberOfTrainingJobs")
    if strategy == "Grid":
        if asked is not None and asked != combinations:
            raise validation(
                f"The value of MaxNumberOfTrainingJobs, [{asked}], must be equal to the total number of hyperparameter combinations "
                f"for grid search, [{int(combinations)}]. Omit it or change the ranges."
            )
        asked = int(combinations)
    if asked is None:
        if not limits.get("MaxRuntimeInSeconds") and not config.get("TuningJobCompletionCriteria"):
            raise validation(
                "MaxNumberOfTrainingJobs is required unless MaxRuntimeInSeconds or TuningJobCompletionCriteria ends the tuning job."
            )
        return
    if asked > MOST_JOBS[strategy]:
        raise _limit("Maximum number of training jobs per hyperparameter tuning job", MOST_JOBS[strategy], asked, "Training Jobs")
    if combinations < asked:
        raise validation(
            "You don't have enough combinations of hyperparameter ranges. The total number of hyperparameter combinations for the "
            f"provided ranges [{float(combinations)}] must be equal or greater than the value of MaxNumberOfJobs, [{asked}]. "
            "Provide additional ranges."
        )


def _limit(name: str, limit: int, asked: int, unit: str) -> Exception:
    return api.error.ResourceLimitExceeded(
        f"The account-level service limit '{name}' is {limit} {unit}, with current utilization of 0 {unit} and a request delta of "
        f"{asked} {unit}. Please contact AWS support to request an increase for this limit."
    )


# --- warm start ------------------------------------------------------------------------------------


def check_parents(
    request: Mapping[str, Any], definitions: Sequence[Mapping[str, Any]], parents: Sequence[Any], final: Sequence[str]
) -> None:
    """`parents` are the records of the parent jobs, None where there is none of a name."""
    asked = request["WarmStartConfig"]["ParentHyperParameterTuningJobs"]
    names = [parent.get("HyperParameterTuningJobName", "") for parent in asked]
    if len(set(names)) != len(names):
        raise validation("The names of the parent hyperparameter tuning jobs must be unique.")
    if len(definitions) > 1:
        raise validation("Warm start isn't supported for a tuning job with several training job definitions.")
    config, definition = request["HyperParameterTuningJobConfig"], definitions[0]
    mine = {
        **definition.get("StaticHyperParameters", {}),
        **{r["Name"]: "" for k in KINDS for r in ranges_of(config, definition).get(k, [])},
    }
    for name, parent in zip(names, parents, strict=True):
        if parent is None:
            raise validation(f"The parent hyperparameter tuning job [{name}] can't be found.")
        if parent.status not in final:
            raise validation(
                f"The parent hyperparameter tuning job [{name}] is {parent.status}. Parent jobs must be Completed, Stopped or Failed."
            )
        _check_parent(name, parent.spec, config, definition, mine, request["WarmStartConfig"]["WarmStartType"])


def _check_parent(
    name: str, theirs: Mapping[str, Any], config: Mapping[str, Any], definition: Mapping[str, Any], mine: Mapping[str, str], kind: str
) -> None:
    other, config_of_parent = theirs["definitions"][0], theirs["HyperParameterTuningJobConfig"]
    if objective_of(config_of_parent, other) != objective_of(config, definition):
        raise validation(f"The objective metric of the tuning job must be the same as that of its parent [{name}].")
    count = len(other["StaticHyperParameters"]) - 1 + sum(len(ranges_of(config_of_parent, other).get(k, [])) for k in KINDS)
    if count != len(mine):
        raise validation(
            "The total number of static and tunable hyperparameters must be the same as in all parent jobs: "
            f"[{name}] has {count}, the new tuning job {len(mine)}."
        )
    same_image = other["AlgorithmSpecification"].get("TrainingImage") == definition["AlgorithmSpecification"].get("TrainingImage")
    if kind == "IdenticalDataAndAlgorithm" and not (same_image and _data(other) == _data(definition)):
        raise validation(
            f"IdenticalDataAndAlgorithm needs the training image and the input data of the parent [{name}]. Use TransferLearning."
        )


def _data(definition: Mapping[str, Any]) -> list[Any]:
    return sorted(
        (c["ChannelName"], str(sorted(c["DataSource"].get("S3DataSource", {}).items()))) for c in definition.get("InputDataConfig", [])
    )
