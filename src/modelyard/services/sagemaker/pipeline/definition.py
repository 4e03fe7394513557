"""A pipeline's definition as steps (pure). `read` raises BadDefinition in the words that AWS puts after "Unable to parse pipeline definition."."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from modelyard.services.sagemaker.pipeline.references import BadReference, parse, references

VERSIONS = ("2020-12-01",)
JOBS = {
    "Training": "CreateTrainingJob",
    "Processing": "CreateProcessingJob",
    "Transform": "CreateTransformJob",
    "Tuning": "CreateHyperParameterTuningJob",
    "Model": "CreateModel",
    "RegisterModel": "CreateModelPackage",
}
"""Steps whose arguments are those of an operation of SageMaker."""
OTHERS = ("Condition", "Fail", "Callback")
NOT_BUILT = (
    "Lambda", "EMR", "EMRServerless", "QualityCheck", "ClarifyCheck", "AutoML", "Compilation", "NotebookJob", "EndpointConfig", "Endpoint",
    "InferenceComponent", "Lineage", "Athena", "Job", "ForEach", "Cleanup", "HubContent", "BedrockCustomModel", "BedrockCustomModelDeployment",
    "BedrockProvisionedModelThroughput", "BedrockModelImport",
)  # fmt: skip
"""Kinds of steps that AWS has and this platform has not."""
TRIGGERS = {"Completed": ("Succeeded",), "Failed": ("Failed",), "Stopped": ("Stopped",), "Any": ("Succeeded", "Failed", "Stopped")}
"""What another step must have come to, by the Trigger of an entry of DependsOn; a bare name is Completed."""
TOP = ("Version", "Metadata", "Parameters", "PipelineExperimentConfig", "MlflowConfig", "Steps")
MEMBERS = ("Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description", "CacheConfig", "RetryPolicies", "PropertyFiles")
CALLBACK_MEMBERS = ("SqsQueueUrl", "OutputParameters")


_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")


class BadDefinition(ValueError):
    """What is wrong with a definition."""


@dataclass(frozen=True)
class Step:
    """`branch` is (condition step, the outcome that this step is for) of a step within a condition; `depends` are the steps that must
    have succeeded before, without the condition it lies in; `triggers` those that must have come to something else; `place` counts the steps as they stand in the text."""

    name: str
    type: str
    arguments: Any
    raw: Mapping[str, Any]
    branch: tuple[str, bool] | None
    depends: frozenset[str]
    triggers: Mapping[str, str]
    place: int

    @property
    def waits_for(self) -> frozenset[str]:
        """All steps that must have ended before."""
        return self.depends | self.triggers.keys() | ({self.branch[0]} if self.branch else set())

    def property_file(self, name: str) -> Mapping[str, Any] | None:
        return next((f for f in self.raw.get("PropertyFiles", ()) if f.get("PropertyFileName") == name), None)


@dataclass(frozen=True)
class Definition:
    steps: Mapping[str, Step]
    parameters: Sequence[Mapping[str, Any]]
    experiment: Mapping[str, Any] | None


@lru_cache(maxsize=32)
def read(text: str) -> Definition:
    """Shape and names only; what refers to what is looked at by checks.py."""
    try:
        top = orjson.loads(text)
    except orjson.JSONDecodeError as problem:
        raise BadDefinition(f"The definition is not JSON: {problem}.") from None
    _object(top)
    _known(top, TOP)
    if top.get("Version") not in VERSIONS:
        raise BadDefinition(f"Version '{top.get('Version')}' is not supported; the only one is {VERSIONS[0]}.")
    steps: dict[str, Step] = {}
    _read_steps(_array(top.get("Steps", [])), None, steps)
    if not steps:
        raise BadDefinition("Steps cannot be empty: a pipeline has at least one step.")
    if top.get("MlflowConfig"):
        raise BadDefinition("MlflowConfig is not built yet on this platform, and nothing was created.")
    experiment = top.get("PipelineExperimentConfig")
    if experiment is not None:
        _known(_object(experiment), ("ExperimentName", "TrialName"))
    return Definition(steps, [_object(p) for p in _array(top.get("Parameters", []))], experiment)


def _read_steps(raw_steps: list[Any], branch: tuple[str, bool] | None, found: dict[str, Step]) -> None:
    for raw in raw_steps:
        step = _read_step(_object(raw), branch, len(found))
        if step.name in found:
            raise BadDefinition(f"Step names must be unique. Found duplicate step name '{step.name}'.")
        found[step.name] = step
        if step.type == "Condition":
            for member, outcome in (("IfSteps", True), ("ElseSteps", False)):
                _read_steps(_array(step.arguments.get(member, [])), (step.name, outcome), found)


def _read_step(raw: dict[str, Any], branch: tuple[str, bool] | None, place: int) -> Step:
    name, kind = raw.get("Name"), raw.get("Type")
    if not isinstance(name, str) or not name:
        raise BadDefinition("A step has no Name.")
    if not _NAME.fullmatch(name):
        raise BadDefinition(f"Step name '{name}' must have at most 64 characters, of letters, digits, '-' and '_'.")
    if kind in NOT_BUILT:
        raise BadDefinition(
            f"Step '{name}' is of type {kind}: steps of this type are not built yet on this platform, and nothing was created."
        )
    if kind not in JOBS and kind not in OTHERS:
        raise BadDefinition(f"Unknown step type '{kind}' of step '{name}'.")
    _known(raw, MEMBERS + (CALLBACK_MEMBERS if kind == "Callback" else ()))
    arguments = _object(raw.get("Arguments", {}))
    for member in ("DependsOn", "RetryPolicies", "PropertyFiles", "OutputParameters"):
        _array(raw.get(member, []))
    for file in raw.get("PropertyFiles", ()):
        _known(_object(file), ("PropertyFileName", "OutputName", "FilePath"))
    triggers = dict(_triggers(raw))
    depends = frozenset(name for name in _depends(raw, kind) if name not in triggers)
    return Step(name, kind, arguments, raw, branch, depends, triggers, place)


def _triggers(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for one in raw.get("DependsOn", ()):
        if isinstance(one, dict):
            _known(one, ("Step", "Trigger"))
            if one.get("Trigger") not in TRIGGERS:
                raise BadDefinition(f"Unknown Trigger '{one.get('Trigger')}' in DependsOn; it is one of {', '.join(TRIGGERS)}.")
            if one["Trigger"] != "Completed":
                yield _name(one.get("Step")), one["Trigger"]


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise BadDefinition("DependsOn is a list of step names.")
    return value


def _depends(raw: Mapping[str, Any], kind: str) -> Iterator[str]:
    for one in raw.get("DependsOn", ()):
        yield _name(one.get("Step") if isinstance(one, dict) else one)
    for text in own_references(raw, kind):
        try:
            found = parse(text)
        except BadReference as problem:
            raise BadDefinition(f"Step '{raw['Name']}': {problem}.") from None
        if found.kind == "Steps":
            yield found.name


def own_references(raw: Mapping[str, Any], kind: str) -> Iterator[Any]:
    """All that a step refers to, without the steps within a condition."""
    values = {member: value for member, value in raw.items() if member != "Arguments"}
    arguments = raw.get("Arguments", {})
    if kind == "Condition":
        arguments = {member: value for member, value in arguments.items() if member not in ("IfSteps", "ElseSteps")}
    yield from references([values, arguments])


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadDefinition("Expecting start of Json Object.")
    return value


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise BadDefinition("Expecting start of Json Array.")
    return value


def _known(value: Mapping[str, Any], members: Sequence[str]) -> None:
    for member in value:
        if member not in members:
            raise BadDefinition(f"Cannot parse object, unknown property '{member}'.")
