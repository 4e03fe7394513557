"""When a secret rotates: rotation rules checked, and the next time. Pure. Source: RotationRulesType in the API reference."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.applicationautoscaling.schedule import BadSchedule, parse
from modelyard.services.secretsmanager import api

DAY, SHORTEST = 86400.0, 4 * 3600.0


def checked_rules(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Raises InvalidParameterException."""
    days, expression, duration = rules.get("AutomaticallyAfterDays"), rules.get("ScheduleExpression"), rules.get("Duration")
    if (days is None) == (expression is None):
        raise api.error.InvalidParameterException(
            "Specify either AutomaticallyAfterDays or ScheduleExpression in RotationRules, and not both."
        )
    if expression is not None:
        if not re.match(r"(rate|cron)\(", expression):
            raise api.error.InvalidParameterException(f"The schedule expression {expression} must be a rate() or cron() expression.")
        try:
            after = parse(expression).after
        except BadSchedule as problem:
            raise api.error.InvalidParameterException(str(problem)) from None
        first = after(0.0, 0.0)
        second = after(first, 0.0) if first is not None else None
        if expression.startswith("rate") and second is not None and second - first < SHORTEST:
            raise api.error.InvalidParameterException("A secret can rotate at most every four hours.")
    if duration is not None and not 1 <= int(duration[:-1]) <= 24:
        raise api.error.InvalidParameterException("The Duration of the rotation window must be from 1h to 24h.")
    return {member: value for member, value in rules.items() if value is not None}


def rotation_enabled(record: Record) -> bool:
    return bool((record.spec.get("Rotation") or {}).get("Enabled"))


def next_rotation(record: Record) -> float | None:
    """When the rotation window opens next; rotation begins then. None: it does not rotate by itself."""
    rotation = record.spec.get("Rotation") or {}
    if not rotation.get("Enabled") or not rotation.get("Rules"):
        return None
    begin, rules = rotation["Since"], rotation["Rules"]
    if "AutomaticallyAfterDays" in rules:
        return begin + rules["AutomaticallyAfterDays"] * DAY
    return parse(rules["ScheduleExpression"]).after(begin, begin)
