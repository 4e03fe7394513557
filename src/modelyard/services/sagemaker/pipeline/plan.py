"""Which steps of an execution may start, from what the others came to (pure)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from modelyard.services.sagemaker.pipeline.definition import TRIGGERS, Definition, Step

States = Mapping[str, Mapping[str, Any]]


def ready(definition: Definition, states: States, only: Collection[str] | None) -> list[Step]:
    """Those that nothing holds back, in the order of the definition. `only` are the steps of a selective execution: what others came to is in
    `states` where it is needed, and nobody waits for the condition around a selected step that is not selected itself."""
    return [
        step
        for step in definition.steps.values()
        if step.name not in states and (only is None or step.name in only) and _is_free(step, states, only)
    ]


def _is_free(step: Step, states: States, only: Collection[str] | None) -> bool:
    if step.branch is not None:
        condition, wanted = step.branch
        if only is None or condition in only:
            state = states.get(condition, {})
            if state.get("status") != "Succeeded" or state.get("outcome") != wanted:
                return False
    if not all(states.get(name, {}).get("status") in TRIGGERS[trigger] for name, trigger in step.triggers.items()):
        return False
    return all(states.get(name, {}).get("status") == "Succeeded" for name in step.depends)


def are_handled(definition: Definition, states: States, failed: Collection[str]) -> bool:
    """Whether for every failed step one ran because of that: the execution did what it was to do."""
    ran = [step for step in definition.steps.values() if states.get(step.name, {}).get("status") == "Succeeded"]
    return all(any(step.triggers.get(name) in ("Failed", "Any") for step in ran) for name in failed)


def missing_sources(definition: Definition, selected: Collection[str]) -> list[str]:
    """Steps whose results the selected ones need and that are not selected, in the order of the definition."""
    needed = {name for one in selected for name in definition.steps[one].depends if name not in selected}
    return [name for name in definition.steps if name in needed]
