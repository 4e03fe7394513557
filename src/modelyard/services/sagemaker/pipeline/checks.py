"""What CreatePipeline and UpdatePipeline refuse of a definition: references into nothing, cycles, arguments that no operation takes (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.services.sagemaker.pipeline import caching, conditions, parameters, retries, shapes
from modelyard.services.sagemaker.pipeline.definition import JOBS, BadDefinition, Definition, Step, own_references, read
from modelyard.services.sagemaker.pipeline.references import (
    EXECUTION_VARIABLES,
    BadReference,
    check_functions,
    is_function,
    parse,
    references,
)


def checked(text: str) -> Definition:
    """The definition, or BadDefinition."""
    try:
        definition = read(text)
        parameters.check_declared(definition.parameters)
        if definition.experiment:
            _check_experiment(definition)
        for step in definition.steps.values():
            _check_step(definition, step)
    except (BadReference, parameters.BadParameter) as problem:
        raise BadDefinition(str(problem)) from None
    except RecursionError:
        raise BadDefinition("The definition is nested too deeply.") from None
    _check_cycles(definition)
    return definition


def _check_step(definition: Definition, step: Step) -> None:
    for name in sorted(step.depends | step.triggers.keys()):
        other = definition.steps.get(name)
        if other is None:
            raise BadDefinition(f"Step '{step.name}' refers to step '{name}', which is not found in the pipeline definition.")
        if other.type == "Fail" and name in step.depends:
            raise BadDefinition(f"{step.name} can not depends on {name}: nothing comes after a step of type Fail.")
    for member in ("DisplayName", "Description"):
        if not isinstance(step.raw.get(member, ""), str):
            raise BadDefinition(f"{member} of step '{step.name}' is a string.")
    check_functions(dict(step.raw))
    for text in own_references(step.raw, step.type):
        _check_reference(definition, step.name, text)
    if step.type in JOBS:
        shapes.check(JOBS[step.type], step.arguments)
    elif step.type == "Condition":
        conditions.check(step.arguments)
    elif step.type == "Fail":
        _check_fail(step)
    elif step.type == "Callback" and not step.raw.get("SqsQueueUrl"):
        raise BadDefinition(f"Step '{step.name}' of type Callback has no SqsQueueUrl.")
    _check_property_files(definition, step)
    retries.check(step)
    caching.check(step)


def _check_fail(step: Step) -> None:
    for member in step.arguments:
        if member != "ErrorMessage":
            raise BadDefinition(f"Unknown Argument member '{member}'.")


def _check_reference(definition: Definition, where: str, text: Any) -> None:
    found = parse(text)
    if found.kind == "Parameters" and found.name not in [p["Name"] for p in definition.parameters]:
        raise BadDefinition(f"'{where}' refers to '{text}', but the pipeline declares no parameter '{found.name}'.")
    if found.kind == "Execution" and found.name not in EXECUTION_VARIABLES:
        raise BadDefinition(f"'{where}' refers to '{text}', which is no execution variable.")
    if found.kind == "Steps" and found.name in definition.steps:
        step = definition.steps[found.name]
        if found.path[:1] == ("PropertyFiles",) and step.property_file(str(found.path[1:2][0] if found.path[1:] else "")) is None:
            raise BadDefinition(f"'{where}' refers to '{text}', but step '{step.name}' has no such property file.")
        if step.type == "Condition" and found.path != ("Outcome",):
            raise BadDefinition(f"'{where}' refers to '{text}'; of a condition step there is its Outcome.")


def _check_property_files(definition: Definition, step: Step) -> None:
    files = step.raw.get("PropertyFiles", ())
    if not files:
        return
    if step.type != "Processing":
        raise BadDefinition(f"Step '{step.name}' has PropertyFiles, which only steps of type Processing can have.")
    outputs = [output.get("OutputName") for output in step.arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])]
    for file in files:
        if not all(isinstance(file.get(m), str) and file[m] for m in ("PropertyFileName", "OutputName", "FilePath")):
            raise BadDefinition(f"A property file of step '{step.name}' needs PropertyFileName, OutputName and FilePath.")
        if file["OutputName"] not in outputs:
            raise BadDefinition(
                f"Property file '{file['PropertyFileName']}' names the output '{file['OutputName']}', which step '{step.name}' does not have."
            )


def _check_experiment(definition: Definition) -> None:
    """Its names are known when an execution starts: they refer to no step."""
    experiment: Mapping[str, Any] = definition.experiment or {}
    for text in references(dict(experiment)):
        _check_reference(definition, "PipelineExperimentConfig", text)
        if parse(text).kind == "Steps":
            raise BadDefinition(f"PipelineExperimentConfig cannot refer to a step ('{text}').")
    for member, value in experiment.items():
        if not isinstance(value, str) and not is_function(value):
            raise BadDefinition(f"{member} of PipelineExperimentConfig is a string.")


def _check_cycles(definition: Definition) -> None:
    """A step waits for what it depends on and for the condition it lies in."""
    waits = {step.name: step.waits_for for step in definition.steps.values()}
    while waits:
        free = [name for name, for_what in waits.items() if not for_what & waits.keys()]
        if not free:
            raise BadDefinition(f"Cycle detected in pipeline step graph: steps [{', '.join(sorted(waits))}] wait for each other.")
        for name in free:
            del waits[name]
