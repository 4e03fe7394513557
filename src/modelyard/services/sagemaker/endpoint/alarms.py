"""The auto-rollback alarms of a deployment: what an update may name, what a rollout sees of them, and who wakes it.

Alarms are records of CloudWatch, `metric-alarm` and `composite-alarm`, named by AlarmName; `state["state"]` is OK, ALARM or
INSUFFICIENT_DATA. They are read through the store; this service does not know the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Event, Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT
from modelyard.services.sagemaker.role_session import SESSION_NAME

KINDS = ("metric-alarm", "composite-alarm")


def states(store: Any, account: str, region: str, names: Iterable[str]) -> dict[str, str | None]:
    """The state of each alarm; None for one that does not exist."""
    found = {}
    for name in names:
        records = (store.get(kind, account, region, name) for kind in KINDS)
        alarm = next((r for r in records if r is not None), None)
        found[name] = None if alarm is None else alarm.state.get("state", "INSUFFICIENT_DATA")
    return found


def check(call: Any, names: list[str], deployment: Mapping[str, Any]) -> None:
    """Alarms exist, and the execution role may look at them ("Auto-Rollback Configuration and Monitoring": the role needs
    cloudwatch:DescribeAlarms). Raises ValidationException."""
    known = states(call.store, call.account, call.region, names)
    missing = [name for name in names if known[name] is None]
    if missing:
        raise validation(f"Could not find CloudWatch alarm(s) {', '.join(missing)} of AutoRollbackConfiguration in {call.region}.")
    if not names:
        return
    for role in sorted({v["role"] for v in deployment["variants"] if v.get("role")}):
        _check_role(call, role, names)


def _check_role(call: Any, role: str, names: list[str]) -> None:
    identity = call.platform.identity
    principal = identity.session_for_role(role, SESSION_NAME, 900.0).principal
    for name in names:
        arn = f"arn:aws:cloudwatch:{call.region}:{call.account}:alarm:{name}"
        decision = identity.decide(principal, "cloudwatch:DescribeAlarms", arn, {})
        if not decision.allowed:
            raise validation(
                f"The execution role {role} must have permission to perform cloudwatch:DescribeAlarms on the alarms of "
                f"AutoRollbackConfiguration. {decision.message}"
            )


def watched(endpoint: Record) -> list[str]:
    """The alarms that the rollout under way looks at."""
    if endpoint.state.get("settled") == endpoint.spec["wanted"]["edition"]:
        return []
    return (endpoint.spec["wanted"].get("plan") or {}).get("alarms", [])


@api.reader("endpoint-alarms", kinds=set(KINDS))
def wake_watchers(event: Event, platform: Any) -> None:
    """An alarm changed: the rollouts that watch it look now."""
    for endpoint in platform.store.list(ENDPOINT.kind, event.account, event.region, status=("InService", "Updating")):
        if event.name in watched(endpoint):
            platform.wake(endpoint.uid)
