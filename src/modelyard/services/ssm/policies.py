"""Policies of advanced parameters: Expiration, ExpirationNotification, NoChangeNotification; and the engine that keeps them.

Source: "Assigning parameter policies in Parameter Store" of the Systems Manager user guide.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from modelyard.kernel.records import Record
from modelyard.kernel.store import Step
from modelyard.services.ssm import api
from modelyard.services.ssm.parameter import PARAMETER, envelope, newest, told_event

MOST = 10
UNITS = {"Days": 86400.0, "Hours": 3600.0}
EXPIRATION, BEFORE, NO_CHANGE = "Expiration", "ExpirationNotification", "NoChangeNotification"
_MEMBERS = {EXPIRATION: {"Timestamp"}, BEFORE: {"Before", "Unit"}, NO_CHANGE: {"After", "Unit"}}


def checked_policies(text: str, now: float) -> list[dict[str, Any]]:
    """The policies of a request; `[{}]` and `[]` take all away. Raises what SSM says of wrong ones."""
    try:
        found = orjson.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise api.error.InvalidPolicyAttributeException("The policies are not a JSON list of policies.")
    found = [one for one in found if one]
    if len(found) > MOST:
        raise api.error.PoliciesLimitExceededException(f"A parameter may have at most {MOST} policies.")
    for one in found:
        _check(one)
    kinds = [one["Type"] for one in found]
    if kinds.count(EXPIRATION) > 1 or (BEFORE in kinds and EXPIRATION not in kinds):
        raise api.error.IncompatiblePolicyException(f"A parameter takes one {EXPIRATION} policy, and {BEFORE} only beside it.")
    if any(one["Type"] == EXPIRATION and _timestamp(one["Attributes"]["Timestamp"]) <= now for one in found):
        raise api.error.InvalidPolicyAttributeException(f"The Timestamp of an {EXPIRATION} policy must be in the future.")
    return found


def _check(one: dict[str, Any]) -> None:
    kind, attributes = one.get("Type"), one.get("Attributes")
    if kind not in _MEMBERS:
        raise api.error.InvalidPolicyTypeException(f"The policy type {kind} is not supported.")
    wrong = api.error.InvalidPolicyAttributeException(f"The attributes of the policy {kind} are not valid.")
    if one.get("Version") != "1.0" or not isinstance(attributes, dict) or set(attributes) != _MEMBERS[kind]:
        raise wrong
    try:
        if kind == EXPIRATION:
            _timestamp(attributes["Timestamp"])
        elif attributes["Unit"] not in UNITS or int(attributes["Before" if kind == BEFORE else "After"]) < 1:
            raise wrong
    except (ValueError, TypeError, OverflowError):
        raise wrong from None


def _timestamp(text: Any) -> float:
    when = datetime.fromisoformat(text)
    return when.replace(tzinfo=when.tzinfo or UTC).timestamp()


def due_times(record: Record) -> list[tuple[float, str, str]]:
    """(when, kind, which) of every policy, in order."""
    found, current = [], newest(record)
    policies = current.get("Policies") or []
    expires = next((_timestamp(one["Attributes"]["Timestamp"]) for one in policies if one["Type"] == EXPIRATION), 0.0)
    for one in policies:
        kind, attributes = one["Type"], one["Attributes"]
        if kind == EXPIRATION:
            when = expires
        elif kind == BEFORE:
            when = expires - int(attributes["Before"]) * UNITS[attributes["Unit"]]
        else:
            when = current["At"] + int(attributes["After"]) * UNITS[attributes["Unit"]]
        found.append((when, kind, f"{current['Version']} {orjson.dumps(one, option=orjson.OPT_SORT_KEYS).decode()}"))
    return sorted(found)


@api.reconciler(PARAMETER, lambda record, world: None)
def decide(record: Record, seen: None, now: float) -> Step:
    """What its policies ask for is told once for each version; what has expired is deleted then."""
    times, told = due_times(record), record.state.get("Told", [])
    if any(when <= now and which in told for when, kind, which in times if kind == EXPIRATION):
        return Step("Active", delete=True, detail=told_event(record, "Delete", now))
    due = next(((kind, which) for when, kind, which in times if when <= now and which not in told), None)
    if due is not None:
        said = {"parameter-name": record.name, "parameter-type": newest(record)["Type"], "policy-type": due[0], "action-status": "Success"}
        kept = [which for _, _, which in times if which in told]
        return Step(
            "Active",
            state={"Told": [*kept, due[1]]},
            detail={"aws": envelope("Parameter Store Policy Action", record.arn, said, now)},
            wake_at=now,
        )
    return Step("Active", wake_at=min((when for when, _, which in times if which not in told), default=None))


@api.reader("ssm-forget", kinds={PARAMETER.kind})
def forget(event, platform):
    """A parameter is gone: so are its versions."""
    if event.new is None:
        platform.parameters.forget(event.uid)
